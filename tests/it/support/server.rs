//! The real program in a process of its own, on a port of the system's choice, with its data in a folder of the test's.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;

/// Longest time that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running `darkroom serve`. It is killed with the test.
pub struct Server {
    child: Child,
    stderr: PathBuf,
    // Closed only with the test: a program that prints into a closed pipe dies.
    _stdout: Lines<BufReader<ChildStdout>>,
    pub url: String,
    pub client: Client,
}

/// `darkroom serve` with the exact model, its data in `dir`, and some other settings, not yet started.
pub fn command(dir: &Path, settings: &[(&str, &str)]) -> Command {
    fs::create_dir_all(dir.join("models")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkroom"));
    command
        .arg("serve")
        .current_dir(dir)
        .env("DARKROOM__HTTP__LISTEN", "127.0.0.1:0")
        .env("DARKROOM__MODELS__DIR", "models")
        .env("DARKROOM__MODELS__DEFAULT", "gaussian")
        .env("DARKROOM__ENGINE__THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in settings {
        command.env(name, value);
    }
    command
}

impl Server {
    /// Starts it and waits until it is ready.
    pub async fn start(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let server = Self::launch(dir, settings).await;
        server.until("ready", async || server.get("/readyz").await.is_some_and(|(status, _)| status == 200)).await;
        server
    }

    /// Starts it and waits until it listens.
    pub async fn launch(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let stderr = dir.join(format!("stderr-{}", uuid::Uuid::now_v7()));
        let mut command = command(dir, settings);
        let mut child = command.stderr(File::create(&stderr).unwrap()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let greet = move || (stdout.next(), stdout);
        let (first, stdout) = tokio::task::spawn_blocking(greet).await.unwrap();
        let Some(Ok(first)) = first else { panic!("no greeting: {}", fs::read_to_string(&stderr).unwrap()) };
        let address = first.split("http://").nth(1).unwrap_or_else(|| panic!("no address in `{first}`"));
        Self { child, stderr, _stdout: stdout, url: format!("http://{}", address.trim()), client: Client::new() }
    }

    /// The status and the JSON of an answer; `None` when the server is not there (any more).
    pub async fn get(&self, path: &str) -> Option<(u16, Value)> {
        answer(self.client.get(format!("{}{path}", self.url))).await
    }

    /// The same for a POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        answer(self.client.post(format!("{}{path}", self.url)).json(body)).await
    }

    /// The same for a generation whose end the client waits for.
    pub async fn generate(&self, body: &Value) -> Option<(u16, Value)> {
        let request = self.client.post(format!("{}/v1/generations", self.url));
        answer(request.header("prefer", "wait=60").json(body)).await
    }

    /// A job that must be there.
    pub async fn job(&self, id: &str) -> Value {
        match self.get(&format!("/v1/jobs/{id}")).await {
            Some((200, job)) => job,
            other => panic!("job {id}: {other:?}\n{}", self.log()),
        }
    }

    /// The job once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        self.until(id, async || self.job(id).await["finished_at"].is_string()).await;
        self.job(id).await
    }

    /// The bytes of a picture or file.
    pub async fn bytes(&self, url: &str) -> Vec<u8> {
        let answer = self.client.get(format!("{}{url}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{url}");
        answer.bytes().await.unwrap().to_vec()
    }

    /// Asks until it is so.
    pub async fn until(&self, what: &str, mut so: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        while !so().await {
            assert!(start.elapsed() < PATIENCE, "{what} did not come to pass:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and wait until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn answer(request: RequestBuilder) -> Option<(u16, Value)> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
