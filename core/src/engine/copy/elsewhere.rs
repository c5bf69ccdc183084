//! Files are not copied between containers and a Windows host: modes, owners and links have no counterpart there, and there is no
//! way yet to unpack what a container sends that no other process can lead astray.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use super::{
    Plan,
    place::{Source, Target},
};
use crate::error::{Error, ErrorKind, Result};

fn unsupported(instead: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "files are not copied between containers and a Windows host").hint(instead)
}

pub(super) fn host_source(_: &Path, _: bool) -> Result<(PathBuf, Source)> {
    Err(unsupported("send a tar with put_archive"))
}

pub(super) fn host_target(_: &Path) -> Result<Target> {
    Err(unsupported("take the tar of get_archive"))
}

pub(super) fn pack(_: &Path, _: Option<&[u8]>, _: impl Write) -> Result<()> {
    Err(unsupported("send a tar with put_archive"))
}

pub(super) fn unpack(_: impl Read, _: &Plan) -> Result<()> {
    Err(unsupported("take the tar of get_archive"))
}
