//! What a lab is made of: programs, kernels, disks and images, each built once and kept (`parts`); guests that boot from
//! them (`guest`); image archives (`oci`). Nothing here knows Berth or speaks to a cluster.

pub mod base;
pub mod guest;
pub mod oci;
pub mod parts;
