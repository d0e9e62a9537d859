//! The admission protocol: bytes of an `AdmissionReview` in, bytes of an `AdmissionReview` out. Pure.
