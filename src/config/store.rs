//! `[store]`: where calls, devices and everything else that lasts is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};

/// `[store]`.
#[derive(Debug, Clone)]
pub struct Store {
    /// Which store, and where.
    pub url: StoreUrl,
    /// How long a command may take.
    pub timeout: Duration,
}

/// `store.url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded store, by its file.
    Embedded(PathBuf),
}

pub(super) fn read(fields: &mut Fields) -> Option<Store> {
    let url = fields.required("url", &store_url());
    let timeout = fields.required("timeout", &kind::duration("10ms", "1m", "1s"));
    Some(Store { url: url?, timeout: timeout? })
}

fn store_url() -> Kind<StoreUrl> {
    let expected = "\"embedded:\" and the path of a file, such as \"embedded:data/bellwire.redb\" \
                    (this version has the embedded store only, no redis://, rediss://, redis-sentinel:// \
                    or redis-cluster://)";
    let embedded = Kind::new(expected, |node| {
        let path = node.text()?.strip_prefix("embedded:")?;
        (!path.is_empty()).then(|| StoreUrl::Embedded(node.path(path)))
    });
    embedded.unquoted()
}

impl Store {
    pub(super) fn describe(&self, out: &mut Description) {
        let StoreUrl::Embedded(path) = &self.url;
        out.text("url", format_args!("embedded:{}", path.display()));
        out.duration("timeout", self.timeout);
    }
}
