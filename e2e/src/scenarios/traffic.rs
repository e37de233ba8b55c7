//! The cluster carries what people do with it: requests between pods by way of a Service, and into pods from outside.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use k8s_openapi::api::core::v1::Service;
use labkit::base::{LabError, Tool, chain, eventually};
use serde_json::json;

use super::{Context, Scenario, context::PATIENCE};

const SERVER: &str = "web";
const CLIENT: &str = "client";
const PORT: u16 = 8080;
/// What the server writes into its log when it starts.
const GREETING: &str = "the web server starts";

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "traffic",
    about: "pods reach each other through a Service; logs, exec and port-forward work",
    needs_lab: false,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let page = format!("page of {}", context.namespace);
    start(context, &page)?;
    through_the_service(context, &page)?;
    let log = eventually("the server's log", PATIENCE, Duration::from_secs(1), || {
        context.cluster().log(&context.namespace, SERVER).map_err(|error| chain(&error))
    })?;
    context.check(log.lines().any(|line| line == GREETING), || format!("the server's log lacks a line: {log:?}"))?;
    let forward = Forward::start(context)?;
    let answer = eventually("the page through port-forward", PATIENCE, Duration::from_secs(1), || {
        let url = format!("http://127.0.0.1:{}/index.html", forward.port);
        Tool::new("curl").args(["-sSf", &url]).output().map_err(|error| chain(&error))
    })?;
    context.check(answer.contains(&page), || format!("port-forward brought something else: {answer:?}"))?;
    context.timeline.step("traffic: a Service, logs, exec and port-forward work");
    Ok(())
}

/// Starts a web server and a client, in the lab on different nodes, and puts a Service before the server.
fn start(context: &Context<'_>, page: &str) -> Result<(), LabError> {
    let claim = context.claim("pages")?;
    // Elsewhere, not every node needs to take pods.
    let nodes = if context.lab.is_some() { context.nodes()? } else { Vec::new() };
    let [first, last] = [nodes.first(), nodes.last()].map(|node| node.map_or("", String::as_str));
    let serve = format!("echo '{page}' >/data/index.html && echo '{GREETING}' && exec httpd -f -p {PORT} -h /data");
    context.pod(SERVER, &claim, first, &serve)?;
    context.pod(CLIENT, &claim, last, "exec sleep 3600")?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": SERVER, "namespace": context.namespace },
        "spec": { "selector": { "app": SERVER }, "ports": [{ "port": 80, "targetPort": PORT }] },
    });
    context.cluster().create(&service)?;
    context.pod_ready(SERVER)?;
    context.pod_ready(CLIENT)
}

/// Fetches the page in the client's pod by the Service's address, which no machine has: it works if the nodes translate it.
fn through_the_service(context: &Context<'_>, page: &str) -> Result<(), LabError> {
    let service = context.cluster().get::<Service>(&context.namespace, SERVER)?.unwrap_or_default();
    let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
    let url = if address.contains(':') { format!("http://[{address}]/") } else { format!("http://{address}/") };
    let answer = eventually("an answer through the Service", PATIENCE, Duration::from_secs(1), || {
        // Not with its own -T: Debian's static busybox dies of it.
        let words = ["timeout", "10", "wget", "-q", "-O", "-", &url];
        context.cluster().kubectl().exec_text(&context.namespace, CLIENT, &words).map_err(|error| chain(&error))
    })?;
    context.check(answer.trim() == page, || format!("the Service brought something else: {answer:?}"))
}

/// A `kubectl port-forward` to the server that ends with the value.
struct Forward {
    child: Child,
    port: u16,
}

impl Forward {
    fn start(context: &Context<'_>) -> Result<Self, LabError> {
        let (pod, port) = (format!("pod/{SERVER}"), format!(":{PORT}"));
        let words = ["port-forward", "--address=127.0.0.1", "-n", &context.namespace, &pod, &port].map(str::to_owned);
        let child = context.cluster().kubectl().command(&words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.map_err(|source| LabError::Start { program: "kubectl port-forward".to_owned(), source })?;
        // From here on, whatever happens, the program ends with the value.
        let mut forward = Self { child, port: 0 };
        let (tell, lines) = mpsc::channel();
        if let Some(output) = forward.child.stdout.take() {
            // Read to its end: a program whose output nobody takes ends.
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Nobody asks for more than the first.
                    let _ = tell.send(line);
                }
            });
        }
        let line = lines.recv_timeout(PATIENCE).map_err(|error| LabError::Unmet(format!("port-forward: {error}")))?;
        forward.port = port_in(&line).ok_or_else(|| LabError::Unmet(format!("port-forward printed {line:?}")))?;
        Ok(forward)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port in `Forwarding from 127.0.0.1:PORT -> 8080`.
fn port_in(line: &str) -> Option<u16> {
    line.strip_prefix("Forwarding from 127.0.0.1:")?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_what_kubectl_prints() {
        assert_eq!(port_in("Forwarding from 127.0.0.1:40123 -> 8080"), Some(40123));
        assert_eq!(port_in("error: unable to forward"), None);
    }
}
