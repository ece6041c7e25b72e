//! The certificates of a server are accepted by a client that trusts its authority, and by no other.

use bowline_testkit::{RedisServer, skips_redis};
use redis::{Client, ClientTlsConfig, RedisResult, TlsCertificates};

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
