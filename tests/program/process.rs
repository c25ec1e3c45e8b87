//! One server process under test. It is ended when dropped, by the handle it was started with and never by a name.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};

/// The program, not yet started.
pub fn interfluve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interfluve"));
    command.args(arguments).stdin(Stdio::null());
    // What the person who runs the tests has set is not what is tested.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("INTERFLUVE_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command that ends by itself.
pub fn output(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = interfluve(arguments).output().expect("started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

/// A running server that has said it is ready.
pub struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub ready: serde_json::Value,
}

const ANY_PORTS: [&str; 5] = ["--kafka-listeners", "127.0.0.1:0", "--aws-listen", "127.0.0.1:0", "--ready-json"];

impl Server {
    /// Starts on free ports and waits for the ready line.
    pub fn start(data_dir: &Path, more: &[&str]) -> Server {
        let dir = data_dir.to_str().expect("UTF-8");
        let mut arguments = vec!["serve", "--data-dir", dir];
        arguments.extend(ANY_PORTS);
        arguments.extend(more);
        Server::run(&arguments)
    }

    /// Starts with exactly these arguments, `--ready-json` among them.
    pub fn run(arguments: &[&str]) -> Server {
        Server::spawn(interfluve(arguments))
    }

    /// The same, where no file can grow beyond `limit_bytes`: writing fails then as on a broken disk.
    pub fn run_limited(limit_bytes: u64, arguments: &[&str]) -> Server {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", limit_bytes / 512);
        command.args(["-c", &script, env!("CARGO_BIN_EXE_interfluve")]).args(arguments);
        Server::spawn(command)
    }

    fn spawn(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        if line.is_empty() {
            let mut said = String::new();
            let _ = stderr.read_to_string(&mut said);
            panic!("the server did not start: {said}");
        }
        Server { child, stderr, ready: serde_json::from_str(&line).expect("the ready line is JSON") }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address of one face, as `host:port`.
    pub fn address(&self, face: &str) -> String {
        let text = self.ready[face].as_str().expect("an address");
        text.trim_start_matches("http://").split('/').next().expect("an address").to_string()
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(done.expect("a shell").success());
    }

    /// From here on it can open no more descriptors than it has and `more`; `None`: as many as at its start.
    pub fn limit_descriptors(&self, more: Option<u64>) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("Linux").count() as u64;
        let pid = rustix::process::Pid::from_child(&self.child);
        let usual = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let current = more.map_or(usual.current, |more| Some(open + more));
        let limit = rustix::process::Rlimit { current, ..usual };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).expect("our own child");
    }

    /// Waits until it says a line that has this; every line up to it.
    pub fn says_somewhere(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.contains(text)) {
            let mut line = String::new();
            assert_ne!(self.stderr.read_line(&mut line).expect("UTF-8"), 0, "it ended without saying {text:?}");
            lines.push(line);
        }
        lines
    }

    /// Waits until it says a line that begins like this.
    pub fn says(&mut self, start: &str) {
        let mut line = String::new();
        while !line.starts_with(start) {
            line.clear();
            assert_ne!(self.stderr.read_line(&mut line).expect("UTF-8"), 0, "it ended without saying {start:?}");
        }
    }

    /// Waits until it has ended; what it said on stderr.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("UTF-8");
        (self.child.wait().expect("ended"), said)
    }

    /// A connection to one face.
    pub fn connect(&self, face: &str) -> TcpStream {
        TcpStream::connect(self.address(face)).expect("listening")
    }

    /// Status line and body of the answer to a GET.
    pub fn get(&self, face: &str, path: &str) -> (String, String) {
        let mut socket = self.connect(face);
        write!(socket, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
        answer(socket)
    }

    /// Status line and body of the answer to one operation of the Kinesis face; empty if the server is gone.
    pub fn ask_kinesis(&self, operation: &str, body: &serde_json::Value) -> (String, String) {
        let Ok(mut socket) = TcpStream::connect(self.address("aws")) else { return Default::default() };
        // A server that stops may close before it has read all of it.
        let _ = socket.write_all(request(operation, &body.to_string()).as_bytes());
        answer(socket)
    }

    /// The answer to one operation of the Kinesis face, which must be a success.
    pub fn kinesis(&self, operation: &str, body: &serde_json::Value) -> serde_json::Value {
        let (status, body) = self.ask_kinesis(operation, body);
        assert!(status.contains(" 200 "), "{operation}: {status} {body}");
        if body.is_empty() { serde_json::Value::Null } else { serde_json::from_str(&body).expect("JSON") }
    }
}

/// A request of the Kinesis face, with a signature that nobody verifies.
pub fn request(operation: &str, body: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.1\r\n\
         x-amz-target: Kinesis_20131202.{operation}\r\nx-amz-date: 20260101T000000Z\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/kinesis/aws4_request, \
         SignedHeaders=host, Signature=any\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Status line and body of what a server sends until it closes.
pub fn answer(mut socket: TcpStream) -> (String, String) {
    let mut text = String::new();
    // What came before the connection was cut is the answer; mostly all of it.
    let _ = socket.read_to_string(&mut text);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.lines().next().unwrap_or("").to_string(), body.to_string())
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
