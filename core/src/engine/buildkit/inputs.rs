//! Files on the network as contexts. Some versions of BuildKit's frontend fail with each address that is no git repository, and
//! others rename the file; so they are described to BuildKit itself, in the form that its frontends write.

use std::collections::BTreeMap;

use prost::Message;
use sha2::{Digest, Sha256};

use super::wire::{Definition, Link, Op, OpMetadata, Source};

/// What fetches the file of an address, under its own name.
pub(super) fn fetched(context: &str, address: &str) -> Definition {
    let source = Op { inputs: Vec::new(), source: Some(Source { identifier: address.to_owned() }) }.encode_to_vec();
    let digest: String = Sha256::digest(&source).iter().map(|b| format!("{b:02x}")).collect();
    let digest = format!("sha256:{digest}");
    // What all of it comes to is an operation that does nothing with one input.
    let end = Op { inputs: vec![Link { digest: digest.clone() }], source: None }.encode_to_vec();
    let described = OpMetadata { description: BTreeMap::from([("llb.customname".to_owned(), format!("[context {context}] {address}"))]) };
    Definition { operations: vec![source, end], metadata: BTreeMap::from([(digest, described)]) }
}
