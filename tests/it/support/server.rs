//! The real program, seen from outside: a process with a folder of its own that can be killed and started again.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything here may take, on a machine that builds something else meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a database, and what every server started in it is told.
pub struct Home {
    dir: TempDir,
    settings: Vec<(String, String)>,
}

/// A running server. Dropping it kills it.
pub struct Server {
    /// `http://127.0.0.1:port`
    pub url: String,
    client: Client,
    child: Child,
    log: PathBuf,
    /// Held open, so that the server can write to it.
    _stdout: BufReader<ChildStdout>,
}

impl Home {
    /// A new folder; servers in it have the exact model.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), settings: Vec::new() }.with("models__default", "gaussian")
    }

    /// The same with one more setting, such as `engine__max_rows`.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.push((format!("DARKROOM__{}", key.to_ascii_uppercase()), value.into()));
        self
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program with this folder's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkroom"));
        let path = self.path().display();
        command
            .args(arguments)
            .current_dir(self.path())
            .env_remove("DARKROOM_FAILPOINTS")
            .env("DARKROOM__HTTP__LISTEN", "127.0.0.1:0")
            .env("DARKROOM__STORE__DATABASE_URL", format!("sqlite://{path}/darkroom.db"))
            .env("DARKROOM__STORE__BLOB_URL", format!("file://{path}/blobs"))
            .env("DARKROOM__MODELS__DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/models"))
            .envs(self.settings.iter().map(|(key, value)| (key, value)));
        command
    }

    /// A server in this folder.
    pub fn start(&self) -> Server {
        self.start_with(&[])
    }

    /// A server in this folder with these variables in its environment.
    pub fn start_with(&self, variables: &[(&str, &str)]) -> Server {
        let mut command = self.command(&["serve"]);
        command.envs(variables.iter().copied());
        self.launch(command)
    }

    /// The server that this command starts.
    pub fn launch(&self, mut command: Command) -> Server {
        let log = self.path().join(format!("log-{}", fs::read_dir(self.path()).unwrap().count()));
        command.stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("/docs") && stdout.read_line(&mut greeting).unwrap() > 0 {}
        let address = greeting.split_whitespace().find(|word| word.starts_with("http") && word.contains("://"));
        let url = address.unwrap_or_else(|| panic!("no address: {}", fs::read_to_string(&log).unwrap())).to_owned();
        darkroom::http::tls::provide();
        Server { url, client: Client::new(), child, log, _stdout: stdout }
    }
}

impl Server {
    /// A GET.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    /// A POST.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).json(body)
    }

    /// The document at a path.
    pub async fn json(&self, path: &str) -> Value {
        self.get(path).send().await.unwrap().json().await.unwrap()
    }

    /// Submits a generation, which must be accepted; answers its id.
    pub async fn submit(&self, body: Value) -> String {
        let answer = self.post("/v1/generations", &body).send().await.unwrap();
        let (status, job) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, 202, "{job}");
        job["id"].as_str().unwrap().to_owned()
    }

    /// Makes a picture; answers the job, which must have succeeded.
    pub async fn make(&self, body: Value) -> Value {
        let id = self.submit(body).await;
        let job = self.ended(&id).await;
        assert_eq!(job["status"], "succeeded", "{job}");
        job
    }

    /// The job once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        let began = Instant::now();
        loop {
            let job = self.json(&format!("/v1/jobs/{id}")).await;
            if ["succeeded", "failed", "canceled"].iter().any(|end| job["status"] == *end) {
                return job;
            }
            assert!(began.elapsed() < PATIENCE, "not ended: {job}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The bytes of a job's pictures, whose hashes must be those that the job names.
    pub async fn pictures(&self, job: &Value) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for image in job["images"].as_array().unwrap() {
            let answer = self.get(image["url"].as_str().unwrap()).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{image}");
            let bytes = answer.bytes().await.unwrap().to_vec();
            assert_eq!(image["size_bytes"], json!(bytes.len()), "{image}");
            all.push(bytes);
        }
        all
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub async fn exited(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "still running: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// kill -9
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM
    pub fn terminate(&self) {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
