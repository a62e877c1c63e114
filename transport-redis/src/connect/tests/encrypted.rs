//! Connections by TLS.

use super::*;

fn trusting(server: &RedisServer) -> RedisConfig {
    RedisConfig { tls_ca: Some(server.certificates().authority()), ..config(&server.url()) }
}

#[tokio::test]
async fn a_server_is_trusted_if_its_authority_is() {
    let server = RedisOptions::new().tls().start();
    assert_eq!(connect(&trusting(&server)).await.node, server.url());

    let public_authorities = config(&server.url());
    let error = refused(&public_authorities).await;
    assert_says(&error, Kind::Hopeless, &[&server.url(), "certificate", "redis.tls_ca"]);

    let stranger = RedisOptions::new().tls().start();
    let error = refused(&RedisConfig { url: server.url(), ..trusting(&stranger) }).await;
    assert_says(&error, Kind::Hopeless, &[&server.url(), "certificate", "redis.tls_ca"]);
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let server = RedisOptions::new().tls().config("tls-auth-clients yes").start();
    let certificates = server.certificates();
    let known = RedisConfig {
        tls_cert: Some(certificates.client()),
        tls_key: Some(certificates.client_key()),
        ..trusting(&server)
    };
    connect(&known).await;
    let error = refused(&trusting(&server)).await;
    assert_says(&error, Kind::Hopeless, &[&server.url(), "redis.tls_cert"]);
}

#[tokio::test]
async fn a_server_with_tls_alone_is_told_from_one_that_is_down() {
    let server = RedisOptions::new().tls().start();
    let url = server.url().replace("rediss://", "redis://");
    assert_says(&refused(&config(&url)).await, Kind::Passing, &[&url, "TLS: rediss://"]);
}

#[test]
fn files_are_judged_before_anything_is_connected() {
    let server = RedisOptions::new().tls().start();
    let stranger = RedisOptions::new().tls().start();
    let good = trusting(&server);
    let certificates = server.certificates();
    let empty = tempfile::NamedTempFile::new().unwrap();
    let of_client =
        |cert, key| RedisConfig { tls_cert: Some(cert), tls_key: Some(key), ..good.clone() };
    let of_authority = |file| RedisConfig { tls_ca: Some(file), ..good.clone() };
    let (cert, key) = (certificates.client(), certificates.client_key());
    for (config, setting, part) in [
        (of_authority("/nowhere/ca.pem".into()), "redis.tls_ca, /nowhere/ca.pem", "No such file"),
        (of_authority(empty.path().into()), "redis.tls_ca", "no certificate"),
        (of_authority(key.clone()), "redis.tls_ca", "no certificate"),
        (of_client("/nowhere/c.pem".into(), key.clone()), "redis.tls_cert, /", "No such file"),
        (of_client(cert.clone(), "/nowhere/c.key".into()), "redis.tls_key, /", "No such file"),
        (of_client(key.clone(), key.clone()), "redis.tls_cert", "no certificate"),
        (of_client(cert.clone(), cert.clone()), "redis.tls_key", "no private key"),
        (of_client(cert, stranger.certificates().client_key()), "redis.tls_key", "does not go"),
    ] {
        assert_says(&Connector::new(&config).unwrap_err(), Kind::Hopeless, &[setting, part]);
    }
    Connector::new(&good).unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_suspected_when_nothing_comes() {
    let server = RedisOptions::new().tcp().start();
    let url = server.url().replace("redis://", "rediss://");
    // It reads what TLS begins with as a line that does not end.
    let limit = Duration::from_millis(50);
    let error = refused(&RedisConfig { connect_timeout: limit, ..config(&url) }).await;
    assert_says(&error, Kind::Passing, &[&url, "within 50ms", "without TLS is redis://"]);
}
