//! kubelet's side of the registration: grpc-go dials the socket and sends its percent-encoded path as `:authority`. No Rust client can be made to do
//! that, so the frames are written by hand (RFC 9113, RFC 7541).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use csi_proto::pluginregistration::RegistrationStatus;
use csi_proto::pluginregistration::registration_client::RegistrationClient;
use csi_runtime::metrics::{Metrics, RpcMetrics};
use csi_runtime::{Endpoint, serve};
use node_plugin::registration::{Refusal, Registrar, socket};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

const DRIVER: &str = "csi.berth.dev";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PROTOCOL_ERROR: u32 = 1;

fn start(endpoint: &Endpoint) -> Refusal {
    let (registrar, refusal) =
        Registrar::new(DRIVER.to_owned(), PathBuf::from("/var/lib/kubelet/plugins/csi.berth.dev/csi.sock"));
    let routes = Routes::new(registrar.into_service());
    let rpc = RpcMetrics::new(&Metrics::new());
    tokio::spawn(serve(endpoint.bind().unwrap(), routes, rpc, CancellationToken::new()));
    refusal
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header whose name is in the static table, as a literal without indexing and without Huffman coding.
fn literal(index: u8, value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    assert!(index < 15 && length < 127, "one byte each is all that this encoder knows");
    [&[index, length], value.as_bytes()].concat()
}

fn named(name: &str, value: &str) -> Vec<u8> {
    [&[0, u8::try_from(name.len()).unwrap()], name.as_bytes(), &[u8::try_from(value.len()).unwrap()], value.as_bytes()]
        .concat()
}

/// What grpc-go makes of a socket's path: `url.PathEscape`, which leaves `@` as it is.
fn authority(path: &Path) -> String {
    path.to_str().unwrap().replace('%', "%25").replace('/', "%2F")
}

/// Calls `GetInfo` as kubelet does. Answers with the body of the reply, or the error code with which the stream was reset.
fn call(path: &Path) -> Result<Vec<u8>, u32> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let headers = [
        vec![0x83], // :method POST
        vec![0x86], // :scheme http
        literal(4, "/pluginregistration.Registration/GetInfo"),
        literal(1, &authority(path)),
        named("content-type", "application/grpc"),
        named("te", "trailers"),
    ]
    .concat();
    let empty_message = [0; 5];
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &headers),
        frame(DATA, END_STREAM, 1, &empty_message),
    ]
    .concat();
    stream.write_all(&request).unwrap();
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).unwrap();
        match (head[3], head[4]) {
            (DATA, _) => body.extend(payload),
            (HEADERS, flags) if flags & END_STREAM != 0 => return Ok(body),
            (RST_STREAM, _) => return Err(u32::from_be_bytes(payload.try_into().unwrap())),
            (GOAWAY, _) => return Err(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
            _ => {}
        }
    }
}

async fn call_from_a_thread(path: PathBuf) -> Result<Vec<u8>, u32> {
    tokio::task::spawn_blocking(move || call(&path)).await.unwrap()
}

#[tokio::test]
async fn kubelet_reaches_the_socket_under_its_percent_encoded_path() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = socket(dir.path(), DRIVER).unwrap();
    assert!(endpoint.path().ends_with("csi.berth.dev@reg.sock"));
    let _refusal = start(&endpoint);
    let body = call_from_a_thread(endpoint.path().to_owned()).await.expect("the stream was reset");
    let text = String::from_utf8_lossy(&body);
    for part in ["CSIPlugin", DRIVER, "/var/lib/kubelet/plugins/csi.berth.dev/csi.sock", "1.0.0"] {
        assert!(text.contains(part), "{part} is not in {text:?}");
    }
}

/// Should this begin to fail, the name is free to be the usual one.
#[tokio::test]
async fn without_the_at_sign_the_stream_is_reset() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint: Endpoint = dir.path().join(format!("{DRIVER}-reg.sock")).to_str().unwrap().parse().unwrap();
    let _refusal = start(&endpoint);
    assert_eq!(call_from_a_thread(endpoint.path().to_owned()).await, Err(PROTOCOL_ERROR));
}

#[tokio::test]
async fn a_refusal_is_heard_and_a_success_is_not_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = socket(dir.path(), DRIVER).unwrap();
    let refusal = start(&endpoint);
    let mut kubelet = RegistrationClient::new(endpoint.connect().await.unwrap());
    let registered = RegistrationStatus { plugin_registered: true, error: String::new() };
    kubelet.notify_registration_status(registered).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), refusal.clone().wait()).await;
    assert!(early.is_err(), "{early:?}");

    let refused = RegistrationStatus { plugin_registered: false, error: "name taken".to_owned() };
    kubelet.notify_registration_status(refused).await.unwrap();
    let reason = tokio::time::timeout(Duration::from_secs(10), refusal.wait()).await.unwrap();
    assert_eq!(reason, "name taken");
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = socket(dir.path(), DRIVER).unwrap();
    drop(std::os::unix::net::UnixListener::bind(endpoint.path()).unwrap());
    let _refusal = start(&endpoint);
    assert!(call_from_a_thread(endpoint.path().to_owned()).await.is_ok());
}
