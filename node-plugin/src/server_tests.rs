use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

fn server(text: &str) -> Server {
    text.parse().unwrap()
}

/// Answers one connection with these bytes and closes it.
fn peer(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut call = [0; 44];
        stream.read_exact(&mut call).unwrap();
        stream.write_all(&answer).unwrap();
    });
    address
}

#[test]
fn an_address_needs_no_resolver() {
    let found = Network::new().addresses(&server("[::1]:20049")).unwrap();
    assert_eq!(found, ["[::1]:20049".parse::<SocketAddr>().unwrap()]);
}

#[test]
fn a_name_that_does_not_exist_is_named() {
    let fault = Network::new().addresses(&server("no-such-host.invalid")).unwrap_err();
    assert!(matches!(&fault, ServerFault::Resolve { host, .. } if host == "no-such-host.invalid"), "{fault}");
    assert!(fault.is_passing());
}

#[test]
fn a_closed_port_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fault = Network::new().ping(address).unwrap_err();
    assert!(matches!(fault, ServerFault::Refused { .. }), "{fault}");
    assert!(fault.to_string().contains(&address.to_string()));
}

#[test]
fn a_server_that_answers_the_null_call_is_one() {
    let words: [u32; 7] = [0x8000_0018, 0x6265_7274, 1, 0, 0, 0, 0];
    let address = peer(words.iter().flat_map(|word| word.to_be_bytes()).collect());
    Network::new().ping(address).unwrap();
}

#[test]
fn a_web_server_is_none() {
    let fault = Network::new().ping(peer(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).unwrap_err();
    assert!(matches!(fault, ServerFault::NotNfs { .. }), "{fault}");
    assert!(!fault.is_passing());
    let fault = Network::new().ping(peer(Vec::new())).unwrap_err();
    assert!(matches!(fault, ServerFault::NotNfs { .. }), "hung up: {fault}");
}

/// `MSG_DENIED` with `AUTH_ERROR` and `AUTH_TOOWEAK`.
#[test]
fn a_server_that_refuses_the_caller_is_not_taken_for_something_else() {
    let words: [u32; 6] = [0x8000_0014, 0x6265_7274, 1, 1, 1, 5];
    let address = peer(words.iter().flat_map(|word| word.to_be_bytes()).collect());
    let fault = Network::new().ping(address).unwrap_err();
    assert!(matches!(fault, ServerFault::Denied { status: AuthStatus::TOO_WEAK, .. }), "{fault}");
    let text = fault.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("AUTH_TOOWEAK"), "{text}");
    assert!(!fault.is_passing());
}

#[test]
fn a_server_of_version_three_says_so() {
    let words: [u32; 9] = [0x8000_0020, 0x6265_7274, 1, 0, 0, 0, 2, 3, 3];
    let fault = Network::new().ping(peer(words.iter().flat_map(|word| word.to_be_bytes()).collect())).unwrap_err();
    assert!(matches!(fault, ServerFault::Versions { low: 3, high: 3, .. }), "{fault}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let fault = Network::new().ping(listener.local_addr().unwrap()).unwrap_err();
    assert!(matches!(fault, ServerFault::Silent { .. }), "{fault}");
}
