//! One server process under test. It is ended when dropped, by the handle it was started with and never by a name.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

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
        let mut command = interfluve(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        if line.is_empty() {
            let mut said = String::new();
            let _ = child.stderr.take().expect("piped").read_to_string(&mut said);
            panic!("the server did not start: {said}");
        }
        Server { child, ready: serde_json::from_str(&line).expect("the ready line is JSON") }
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

    /// Waits until it has ended; what it said on stderr.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        (self.child.wait().expect("ended"), said)
    }

    /// Status line, and the body, of one HTTP request.
    pub fn http(&self, face: &str, head: &str, body: &str) -> (String, String) {
        let address = self.address(face);
        let mut socket = TcpStream::connect(&address).expect("listening");
        let request = format!(
            "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n{}\r\n{body}",
            body.len(),
            "content-type: application/x-amz-json-1.1\r\n"
        );
        socket.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.lines().next().unwrap_or("").to_string(), body.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
