//! Folders of a Windows host are not sent one by one: there is no way yet to read them that no other process can lead astray.
//! `Contexts` refuses them before anything is asked for.

use std::sync::Arc;

use hyper::{Request, body::Incoming};

use super::{
    grpc::{Answer, UNIMPLEMENTED, failed},
    session::Offer,
};

pub(super) fn serve(_: Request<Incoming>, _: Arc<Offer>) -> Answer {
    failed(UNIMPLEMENTED, "not known")
}
