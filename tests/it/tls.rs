//! TLS in the program itself.

use std::fs;

use reqwest::{Certificate, Client};

use crate::support::server::Home;

#[tokio::test]
async fn the_service_speaks_tls_with_a_certificate_of_ours() {
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).unwrap();
    let home = Home::new();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| home.path().join(name));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let home =
        home.with("http__tls_certificate", certificate.to_str().unwrap()).with("http__tls_key", key.to_str().unwrap());
    let server = home.start();
    assert!(server.url.starts_with("https://"), "{}", server.url);

    let trusted = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([trusted]).build().unwrap();
    let answer = client.get(format!("{}/livez", server.url)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(server.get("/livez").send().await.is_err(), "nobody else vouches for it");
    let plain = server.url.replace("https", "http");
    assert!(client.get(format!("{plain}/livez")).send().await.is_err());
    let answer = client.get(format!("{}/readyz", server.url)).send().await.unwrap();
    assert!([200, 503].contains(&answer.status().as_u16()), "a broken handshake ends no other connection");
}

#[tokio::test]
async fn a_certificate_that_does_not_read_is_named() {
    let home = Home::new().with("http__tls_certificate", "none.pem").with("http__tls_key", "none.pem");
    let output = home.command(&["serve"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("http.tls_certificate none.pem"));
}
