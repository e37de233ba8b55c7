//! Exports that demand a source port below 1024 ("secure").

use nfs_client::SourcePort;
use tonic::Code;

use crate::world::World;

pub(crate) async fn an_export_that_demands_a_low_port_is_named_and_can_be_had(world: &World) {
    let (any, require) = (world.controller_from(SourcePort::Any), world.controller_from(SourcePort::RequireReserved));
    let error = any.create("pvc-1", &[]).await.unwrap_err();
    let message = error.message();
    let expected = match world {
        #[cfg(feature = "kernel")]
        World::Knfsd(_) => Code::PermissionDenied,
        // Ganesha answers as if the export did not exist.
        _ => Code::FailedPrecondition,
    };
    assert_eq!(error.code(), expected, "{message}");
    assert!(message.contains(&format!("{}:{}", world.server(), world.share())), "{message}");
    assert!(message.contains("controller.reservedPorts=true"), "{message}");
    require.create("pvc-1", &[]).await.unwrap();
    world.controller_from(SourcePort::PreferReserved).create("pvc-2", &[]).await.unwrap();
}
