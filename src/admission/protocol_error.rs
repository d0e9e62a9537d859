//! The errors of requests that cannot be reviewed, each with HTTP status, code and sentence.
//!
//! Problems of the pod or of a template are [`crate::inject::ErrorCode`]s instead.
//! Invariant: the status is never 200, so that the API server's `failurePolicy` decides.

/// Why a request gets an error instead of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolError {
    /// `media_type_unsupported`
    MediaTypeUnsupported,
    /// `body_empty`
    BodyEmpty,
    /// `body_too_large`
    BodyTooLarge,
    /// `body_too_slow`
    BodyTooSlow,
    /// `body_incomplete`: the client disconnected.
    BodyIncomplete,
    /// `client_gone`: the client no longer waits for the response.
    ClientGone,
    /// `review_invalid`: not JSON, or not the structure of an AdmissionReview.
    ReviewInvalid,
    /// `review_too_deep`
    ReviewTooDeep,
    /// `review_version_unsupported`
    ReviewVersionUnsupported,
    /// `request_missing`
    RequestMissing,
    /// `uid_missing`
    UidMissing,
    /// `object_missing`
    ObjectMissing,
    /// `overloaded`: no memory or time is left for the request; the API server retries.
    Overloaded,
    /// `templates_behind`: the request names a template that this replica may not have read yet; the
    /// API server retries.
    TemplatesBehind,
    /// `draining`: the server is shutting down; the API server retries with another replica.
    Draining,
    /// `panic`: a bug in Outrigger.
    Panic,
}

impl ProtocolError {
    /// All errors, in the order of the reference.
    pub const ALL: [Self; 16] = [
        Self::MediaTypeUnsupported,
        Self::BodyEmpty,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::BodyIncomplete,
        Self::ClientGone,
        Self::ReviewInvalid,
        Self::ReviewTooDeep,
        Self::ReviewVersionUnsupported,
        Self::RequestMissing,
        Self::UidMissing,
        Self::ObjectMissing,
        Self::Overloaded,
        Self::TemplatesBehind,
        Self::Draining,
        Self::Panic,
    ];

    /// HTTP status of the response.
    pub const fn status(self) -> u16 {
        self.row().0
    }

    /// The stable code: metric label and log field.
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// One sentence for people.
    pub const fn sentence(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::MediaTypeUnsupported => (415, "media_type_unsupported", "expected Content-Type application/json"),
            Self::BodyEmpty => (400, "body_empty", "the body is empty, expected an AdmissionReview"),
            Self::BodyTooLarge => (413, "body_too_large", "the body is larger than 10 MiB"),
            Self::BodyTooSlow => (408, "body_too_slow", "the body did not arrive in time"),
            Self::BodyIncomplete => (400, "body_incomplete", "the body is incomplete"),
            // The client is gone, so only logs and metrics show this status.
            Self::ClientGone => (408, "client_gone", "the client disconnected before the response"),
            Self::ReviewInvalid => (400, "review_invalid", "the body is not an AdmissionReview"),
            Self::ReviewTooDeep => (400, "review_too_deep", "the body nests deeper than 128 levels"),
            Self::ReviewVersionUnsupported => {
                (400, "review_version_unsupported", "expected apiVersion admission.k8s.io/v1, kind AdmissionReview")
            }
            Self::RequestMissing => (400, "request_missing", "the AdmissionReview has no request"),
            Self::UidMissing => (400, "uid_missing", "the request has no uid"),
            Self::ObjectMissing => (400, "object_missing", "the request has no object"),
            Self::Overloaded => (503, "overloaded", "the server is overloaded, try again"),
            Self::TemplatesBehind => (
                503,
                "templates_behind",
                "the request names a template that this server may not have read yet, try again",
            ),
            Self::Draining => (503, "draining", "this server is shutting down, try again"),
            Self::Panic => (500, "panic", "this is a bug in outrigger, no verdict"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::ErrorCode;

    #[test]
    fn codes_are_unique_among_all_error_codes() {
        let mut codes: Vec<&str> = ProtocolError::ALL.iter().map(|error| error.code()).collect();
        codes.extend(ErrorCode::ALL.iter().map(|code| code.code()));
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn every_status_is_an_error() {
        assert!(ProtocolError::ALL.iter().all(|error| error.status() >= 400));
    }
}
