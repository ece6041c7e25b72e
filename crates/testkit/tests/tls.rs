//! The certificates of a server are accepted by a client that trusts its authority, and by no other.

use std::sync::Arc;

use bowline_testkit::{RedisServer, UpstashServer, skips_redis};
use redis::{Client, ClientTlsConfig, RedisResult, TlsCertificates};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

async fn ping(url: String, tls: TlsCertificates) -> RedisResult<String> {
    // Whoever came second finds the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::build_with_tls(url, tls)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("PING").query_async(&mut connection).await
}

fn trusting(server: &RedisServer, client_tls: Option<ClientTlsConfig>) -> TlsCertificates {
    TlsCertificates {
        client_tls,
        root_cert: Some(server.ca_pem().into()),
    }
}

#[tokio::test]
async fn the_authority_decides() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .password("p@w")
        .tls()
        .start()
        .await
        .unwrap();
    let other = RedisServer::builder()
        .password("p@w")
        .tls()
        .start()
        .await
        .unwrap();
    assert_eq!(
        ping(server.tls_url(), trusting(&server, None))
            .await
            .unwrap(),
        "PONG"
    );
    assert!(
        ping(server.tls_url(), trusting(&other, None))
            .await
            .is_err()
    );
    server.restart().await.unwrap();
    assert_eq!(
        ping(server.tls_url(), trusting(&server, None))
            .await
            .unwrap(),
        "PONG"
    );
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_one_is_asked_for() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .tls_with_client_certificates()
        .start()
        .await
        .unwrap();
    let identity = server.client_identity();
    let shown = ClientTlsConfig {
        client_cert: identity.certificate.clone().into(),
        client_key: identity.key.clone().into(),
    };
    assert_eq!(
        ping(server.tls_url(), trusting(&server, Some(shown)))
            .await
            .unwrap(),
        "PONG"
    );
    assert!(
        ping(server.tls_url(), trusting(&server, None))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_upstash_stand_in_speaks_tls_to_who_trusts_it() {
    if skips_redis() {
        return;
    }
    let redis = RedisServer::start().await.unwrap();
    let upstash = UpstashServer::start_tls(redis.address(), "t")
        .await
        .unwrap();
    let stranger = UpstashServer::start_tls(redis.address(), "t")
        .await
        .unwrap();
    let answer = ask(&upstash, upstash.ca_pem()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(r#"{"result":"PONG"}"#), "{answer}");
    assert!(upstash.url().starts_with("https://127.0.0.1:"));
    ask(&upstash, stranger.ca_pem()).await.unwrap_err();
}

async fn ask(upstash: &UpstashServer, authority: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes());
    roots
        .add(authority.map_err(std::io::Error::other)?)
        .map_err(std::io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(upstash.address()).await?;
    let name = ServerName::IpAddress(upstash.address().ip().into());
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    stream
        .write_all(b"GET /ping?_token=t HTTP/1.1\r\nHost: upstash\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
