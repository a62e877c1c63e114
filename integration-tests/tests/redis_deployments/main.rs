//! The same few calls, however the broker is deployed, and whatever its users may do.

mod acl;
mod deployments;
mod every_call;
