//! Servers that say no, and peers that are no NFS servers.

use nfs_client::{Client, Compound, Config, Error, NfsStatus, OpCode, Principal, SetAttributes, SourcePort};
use nfs_testkit::fake::{Effect, FakeServer, Fault, Options};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::{client, world};

#[tokio::test(start_paused = true)]
async fn a_squashed_root_is_a_clear_error_and_leaves_nothing_behind() {
    let (server, client, export) = world().await;
    server.set_options(|options| options.squashes_root = true);
    server.change("/export", SetAttributes::mode(0o777));
    let error = client.create_dir(&export, "volume", 0o700, Some((1000, 2000))).await.unwrap_err();
    assert!(matches!(&error, Error::OwnerRefused { status: NfsStatus::Perm, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("fake:2049") && text.contains("1000:2000") && text.contains("squashing root"), "{text}");
    assert!(!error.is_transient());
    assert_eq!(server.list("/export").unwrap(), Vec::<String>::new());
    client.create_dir(&export, "volume", 0o700, None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_insists_on_idmapd_is_named() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::SetAttr, Effect::Status(NfsStatus::BadOwner)));
    let error = client.create_dir(&export, "volume", 0o700, Some((1000, 1000))).await.unwrap_err();
    assert!(error.is_status(NfsStatus::BadOwner) && error.to_string().contains("idmapd"), "{error}");
    assert!(!server.exists("/export/volume"));
}

#[tokio::test(start_paused = true)]
async fn owners_with_a_domain_are_read_as_numbers() {
    let server = FakeServer::with_options(Options { domain: Some("example.org".into()), ..Options::default() });
    let client = client(&server, |_| {});
    let root = client.open_dir(&[] as &[&str]).await.unwrap();
    let made = client.create_dir(&root, "a", 0o700, Some((1234, 0))).await.unwrap();
    assert_eq!(made.attributes.owner, Some(Principal::Id(1234)));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_reported_and_a_half_written_file_removed() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Create, Effect::Status(NfsStatus::NoSpc)));
    let error = client.create_dir(&export, "a", 0o700, None).await.unwrap_err();
    assert!(error.is_status(NfsStatus::NoSpc) && error.to_string().contains("no space left"), "{error}");
    server.inject(Fault::on(OpCode::Write, Effect::Status(NfsStatus::NoSpc)));
    let error = client.create_file(&export, "file", 0o600, b"x").await.unwrap_err();
    assert!(error.is_status(NfsStatus::NoSpc), "{error}");
    assert_eq!(server.list("/export").unwrap(), Vec::<String>::new());
    assert_eq!(server.opens(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_written_in_parts_is_complete_or_gone() {
    let (server, client, export) = world().await;
    server.set_options(|options| options.max_write = 10);
    let content = b"thirty-three bytes of its content";
    let made = client.create_file(&export, "file", 0o600, content).await.unwrap();
    assert_eq!(made.attributes.size, Some(33));
    assert_eq!(server.file("/export/file").as_deref(), Some(&content[..]));
    server.inject(Fault::on(OpCode::Write, Effect::Status(NfsStatus::NoSpc)).skip(2));
    let error = client.create_file(&export, "other", 0o600, content).await.unwrap_err();
    assert!(error.is_status(NfsStatus::NoSpc), "{error}");
    assert_eq!((server.list("/export").unwrap(), server.opens()), (vec!["file".to_owned()], 0));
}

/// Nothing that counts on the text is done.
#[tokio::test(start_paused = true)]
async fn a_text_that_is_cut_short_has_found_no_room() {
    let (server, client, export) = world().await;
    server.set_options(|options| options.max_write = 10);
    let make = |name: &str| Compound::new().put_handle(&export).create_file(name, 0o600).fill("eleven bytes");
    let next = Compound::new().put_handle(&export).create_dir("next", SetAttributes::mode(0o700));
    let error = client.call_whole(make("file").append(next)).await.unwrap_err();
    assert!(error.is_status(NfsStatus::NoSpc), "{error}");
    assert_eq!((error.failed_op(), error.completed().unwrap().len()), (Some((2, OpCode::Write)), 2));
    assert_eq!((server.list("/export").unwrap(), server.opens()), (vec!["file".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn an_open_within_a_compound_that_fails_is_closed() {
    let (server, client, export) = world().await;
    for op in [OpCode::Write, OpCode::Close] {
        let name = op.to_string();
        server.inject(Fault::on(op, Effect::Status(NfsStatus::NoSpc)));
        let make = Compound::new().put_handle(&export).create_file(&name, 0o600).fill("text");
        let error = client.call_whole(make).await.unwrap_err();
        assert!(error.is_status(NfsStatus::NoSpc), "{error}");
        assert_eq!((server.opens(), server.exists(&format!("/export/{name}"))), (0, true));
    }
}

#[tokio::test(start_paused = true)]
async fn no_open_outlives_its_compound() {
    let (server, client, export) = world().await;
    client.create_file(&export, "file", 0o600, b"x").await.unwrap();
    client.read_file(&export, "file").await.unwrap();
    server.inject(Fault::on(OpCode::Read, Effect::Status(NfsStatus::Io)));
    assert!(client.read_file(&export, "file").await.unwrap_err().is_status(NfsStatus::Io));
    assert_eq!(server.opens(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_denied_caller_is_told_why_and_nothing_is_executed() {
    let (server, client, export) = world().await;
    server.inject(Fault::on(OpCode::Create, Effect::Denied));
    let error = client.create_dir(&export, "a", 0o700, None).await.unwrap_err();
    assert!(matches!(&error, Error::RpcDenied { .. }), "{error}");
    assert!(error.to_string().contains("fake:2049") && error.to_string().contains("below 1024"), "{error}");
    assert!(!error.is_transient());
    client.create_dir(&export, "a", 0o700, None).await.unwrap();
    assert_eq!(server.executed(OpCode::Create), 1);
    assert_eq!(server.executed(OpCode::CreateSession), 1, "the slot was not used up");
}

#[tokio::test(start_paused = true)]
async fn small_reply_limits_are_respected() {
    let server = FakeServer::with_options(Options { max_response: 4096, ..Options::default() });
    for number in 0..500 {
        server.make_file(&format!("/export/file-{number:04}"), "x");
    }
    let client = client(&server, |_| {});
    let export = client.open_dir(&["export"]).await.unwrap();
    assert_eq!(client.read_dir(&export).await.unwrap().len(), 500);
    assert!(server.executed(OpCode::ReadDir) > 10);
}

/// A listener that says this to everybody who connects.
async fn somebody_else(greeting: &'static [u8]) -> Client {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(greeting).await;
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    let mut config = Config::new("127.0.0.1", port);
    config.source_port = SourcePort::Any;
    config.request_timeout = std::time::Duration::from_secs(2);
    Client::new(config)
}

#[tokio::test]
async fn other_protocols_are_told_from_nfs() {
    for greeting in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.2p1\r\n", b"220 mail ESMTP\r\n"] {
        let client = somebody_else(greeting).await;
        let error = client.probe().await.unwrap_err();
        assert!(matches!(&error, Error::NotNfs { server, .. } if **server == *client.server()), "{error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_peer_that_never_answers_is_unreachable() {
    let client = somebody_else(b"").await;
    let error = client.probe().await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("no reply within 2s"), "{error}");
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_name_are_unreachable() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = Client::new(Config::new("127.0.0.1", port)).probe().await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { address, .. } if *address == format!("127.0.0.1:{port}")), "{error}");
    let error = Client::new(Config::new("no-such-host.invalid", 2049)).probe().await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { address, .. } if address == "no-such-host.invalid"), "{error}");
    assert!(error.to_string().contains("cannot be resolved"), "{error}");
}
