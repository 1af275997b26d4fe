//! Users at the REST door: nobody, or one with a role and a token.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Somebody who asks the server something; without a token, nobody.
#[derive(Clone)]
pub struct User {
    http: reqwest::Client,
    base: String,
    pub id: String,
    pub email: String,
    pub token: String,
}

/// What the server said.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// The answer's `data`; the test fails unless it was a 2xx.
    #[track_caller]
    pub fn data(mut self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self.body["data"].take()
    }

    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.body
        );
    }
}

impl User {
    pub fn nobody(base: &str) -> User {
        User {
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("an HTTP client"),
            base: base.to_owned(),
            id: String::new(),
            email: String::new(),
            token: String::new(),
        }
    }

    /// The same visitor, signed in.
    pub async fn log_in(&self, email: &str, password: &str) -> User {
        let data = self
            .post("auth/login", json!({"email": email, "password": password}))
            .await
            .data();
        User {
            id: text(&data["user"]["id"]),
            email: email.to_owned(),
            token: text(&data["access_token"]),
            ..self.clone()
        }
    }

    /// The same user with another token.
    pub fn with_token(&self, token: &str) -> User {
        User {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let what = format!("{method} {path}");
        self.try_ask(method, path, body, None)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// As a client that may find the server dead: no answer is an error, not a failed test.
    pub async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        request_id: Option<&str>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(id) = request_id {
            request = request.header("x-request-id", id);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request).await
    }

    /// The same, for a POST with an `Idempotency-Key`.
    pub async fn try_once(&self, path: &str, body: &Value, key: &str) -> reqwest::Result<Answer> {
        let request = self.request(Method::POST, path);
        read(request.header("idempotency-key", key).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = match path.strip_prefix('/') {
            Some(rooted) => format!("{}/{rooted}", self.base),
            None => format!("{}/api/v1/{path}", self.base),
        };
        let request = self.http.request(method, url);
        match self.token.is_empty() {
            true => request,
            false => request.bearer_auth(&self.token),
        }
    }

    /// A new draft; the answer's `data`.
    pub async fn create_episode(&self, title: &str, number: u32) -> Value {
        self.post(
            "episodes",
            json!({"title": title, "episode_number": number}),
        )
        .await
        .data()
    }

    /// Renames an episode by PUT; the answer's `data`.
    pub async fn rename_episode(&self, episode: &Value, title: &str) -> Value {
        let path = format!("episodes/{}", text(&episode["id"]));
        self.put(
            &path,
            json!({"title": title, "episode_number": episode["episode_number"]}),
        )
        .await
        .data()
    }
}

async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let status = response.status();
    let bytes = response.bytes().await?;
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    Ok(Answer { status, body })
}

/// The text of a JSON string; the test fails on anything else.
#[track_caller]
pub fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}
