//! JSON web tokens beside keys.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use darkroom::config::Switch;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, send};

/// An issuer of tokens: its key, and the set that tells it.
struct Issuer {
    key: KeyPair,
    id: &'static str,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        Self { key: KeyPair::generate().unwrap(), id }
    }

    fn jwk(&self) -> Value {
        let point = self.key.der_bytes();
        let [x, y] = [&point[1..33], &point[33..65]].map(|half| BASE64_URL_SAFE_NO_PAD.encode(half));
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": x, "y": y})
    }

    fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.into()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }
}

fn claims(more: Value) -> Value {
    let mut all = json!({
        "sub": "ann",
        "iss": "https://login.example",
        "aud": "darkroom",
        "exp": jiff::Timestamp::now().as_second() + 600,
        "scope": "openid generate read",
    });
    for (name, value) in more.as_object().unwrap() {
        match value.is_null() {
            true => drop(all.as_object_mut().unwrap().remove(name)),
            false => all[name] = value.clone(),
        }
    }
    all
}

async fn status(app: &TestApp, token: &str, method: Method, path: &str) -> u16 {
    send(app.request(method, path).bearer_auth(token)).await.status
}

#[tokio::test]
async fn good_tokens_open_what_they_say_and_no_others_open_anything() {
    let (ours, theirs, folder) = (Issuer::new("one"), Issuer::new("one"), tempfile::tempdir().unwrap());
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, json!({"keys": [ours.jwk()]}).to_string()).unwrap();
    let app = TestApp::with(|config| {
        config.auth.required = Switch::On;
        config.auth.jwks = file.to_str().unwrap().into();
        config.auth.issuer = "https://login.example".into();
        config.auth.audience = "darkroom".into();
    })
    .await;
    let good = ours.token(&claims(json!({})));
    assert_eq!(status(&app, &good, Method::GET, "/v1/jobs").await, 200);
    assert_eq!(status(&app, &good, Method::POST, "/v1/edits").await, 403, "`edit` is not in its scope");

    let now = jiff::Timestamp::now().as_second();
    let shared = EncodingKey::from_secret(ours.jwk()["x"].as_str().unwrap().as_bytes());
    let shared =
        encode(&Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) }, &claims(json!({})), &shared);
    let [header, payload] = [json!({"alg": "none", "kid": "one"}), claims(json!({}))]
        .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    let (body, signature) = good.rsplit_once('.').unwrap();
    let bad = [
        ("another's key", theirs.token(&claims(json!({})))),
        ("an unknown key", Issuer::new("two").token(&claims(json!({})))),
        ("expired", ours.token(&claims(json!({"exp": now - 120})))),
        ("without an end", ours.token(&claims(json!({"exp": null})))),
        ("not yet", ours.token(&claims(json!({"nbf": now + 600})))),
        ("another issuer", ours.token(&claims(json!({"iss": "https://evil.example"})))),
        ("for another service", ours.token(&claims(json!({"aud": "mail"})))),
        ("for nobody", ours.token(&claims(json!({"aud": null})))),
        ("of nobody", ours.token(&claims(json!({"sub": null})))),
        ("a shared secret", shared.unwrap()),
        ("unsigned", format!("{header}.{payload}.")),
        ("another text", format!("{body}x.{signature}")),
    ];
    for (what, token) in bad {
        assert_eq!(status(&app, &token, Method::GET, "/v1/jobs").await, 401, "{what}");
    }

    // Jobs belong to the subject, whatever token of theirs comes.
    let made = app.request(Method::POST, "/v1/generations").bearer_auth(&good).json(&json!({"steps": 1}));
    let path = format!("/v1/jobs/{}", send(made).await.json()["id"].as_str().unwrap());
    let again = ours.token(&claims(json!({"exp": now + 900})));
    assert_eq!(status(&app, &again, Method::GET, &path).await, 200);
    let bob = ours.token(&claims(json!({"sub": "bob"})));
    assert_eq!(status(&app, &bob, Method::GET, &path).await, 404);
}

#[tokio::test]
async fn a_set_of_keys_needs_an_issuer_and_an_audience() {
    let mut config = darkroom::config::Config::for_testing();
    config.auth.required = Switch::On;
    config.auth.jwks = "jwks.json".into();
    let error = darkroom::app::App::start(config).await.err().unwrap().to_string();
    assert!(error.contains("auth.issuer") && error.contains("auth.audience"), "{error}");
}
