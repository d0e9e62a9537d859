//! Code shared by the fuzz targets: the injector under test, generated pods and templates, and the
//! laws.

mod case;
pub mod laws;

pub use case::Case;
use outrigger::inject::{Injector, NativeSidecars, Settings, SourceText, TemplateSet};

/// An injector of the templates in these texts.
pub fn injector(texts: &[&str], native: bool) -> Injector {
    let source =
        |(index, text): (usize, &&str)| SourceText { origin: format!("{index}.yaml"), text: (*text).to_owned() };
    let sources: Vec<SourceText> = texts.iter().enumerate().map(source).collect();
    let native_sidecars = if native { NativeSidecars::Supported } else { NativeSidecars::Unsupported };
    Injector::new(TemplateSet::load(&sources).templates, Settings { native_sidecars, ..Settings::default() })
}
