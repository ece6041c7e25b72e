//! The HTTP client under providers and tool servers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};

use crate::{Error, ErrorKind, Result};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(30);

/// A client for `base_url`, or for the provider's own address.
pub(crate) fn client(base_url: Option<&str>) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .gzip(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_while_idle(true);
    // What serves this machine only is not reached through a proxy.
    if base_url.is_some_and(is_local) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        Error::new(ErrorKind::Model, "call model", "there is no HTTP client").with_source(error)
    })
}

fn is_local(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The certificates of this machine are read once.
fn tls() -> Result<ClientConfig> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // Without any, connections fail with an error that says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| {
        Error::new(ErrorKind::Model, "call model", "TLS cannot be set up").with_source(error)
    })?;
    Ok(builder
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        for (url, local) in [
            ("http://127.0.0.1:8080/v1/", true),
            ("http://localhost/v1/", true),
            ("http://[::1]:1/v1/", true),
            ("https://api.openai.com/v1/", false),
            ("http://10.0.0.1/v1/", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_local(url), local, "{url}");
        }
    }
}
