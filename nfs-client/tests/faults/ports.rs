//! Source ports, over real TCP. Binding one below 1024 takes root or `CAP_NET_BIND_SERVICE`: those tests are with the
//! ones against NFS-Ganesha.

use nfs_client::{Client, Config, Error, SourcePort};
use nfs_testkit::fake::{FakeServer, Options};

#[tokio::test]
async fn an_unreserved_port_is_told_from_other_denials() {
    let server = FakeServer::with_options(Options { needs_reserved_port: true, ..Options::default() });
    let mut config = Config::new("127.0.0.1", server.listen().await.unwrap().port());
    config.source_port = SourcePort::Any;
    let error = Client::new(config).probe().await.unwrap_err();
    assert!(matches!(&error, Error::RpcDenied { .. }), "{error}");
    assert!(error.to_string().contains("source port below 1024"), "{error}");
}
