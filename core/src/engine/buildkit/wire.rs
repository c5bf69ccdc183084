//! The messages of BuildKit's protocol that are used here, with its numbers of fields.

use std::collections::BTreeMap;

/// `moby.buildkit.secrets.v1.GetSecretRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetSecret {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

/// `moby.buildkit.secrets.v1.GetSecretResponse`, and the `BytesMessage` of `moby.sshforward.v1` and `moby.upload.v1`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Data {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) data: Vec<u8>,
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Data({} bytes)", self.data.len())
    }
}

/// `moby.filesync.v1.CredentialsRequest`, and `moby.sshforward.v1.CheckAgentRequest` with an ID for the host.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Named {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `moby.filesync.v1.CredentialsResponse`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Credentials {
    #[prost(string, tag = "1")]
    pub(super) username: String,
    #[prost(string, tag = "2")]
    pub(super) secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// `grpc.health.v1.HealthCheckResponse`: 1 is «serving».
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Health {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

/// `moby.buildkit.v1.StatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Status {
    #[prost(message, repeated, tag = "1")]
    pub(super) vertexes: Vec<Vertex>,
    #[prost(message, repeated, tag = "2")]
    pub(super) statuses: Vec<VertexStatus>,
    #[prost(message, repeated, tag = "3")]
    pub(super) logs: Vec<VertexLog>,
}

/// A step of a build.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Vertex {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(bool, tag = "4")]
    pub(super) cached: bool,
    #[prost(message, optional, tag = "5")]
    pub(super) started: Option<Time>,
    #[prost(message, optional, tag = "6")]
    pub(super) completed: Option<Time>,
    #[prost(string, tag = "7")]
    pub(super) error: String,
}

/// How far a part of a step is.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct VertexStatus {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) vertex: String,
    #[prost(int64, tag = "4")]
    pub(super) current: i64,
    #[prost(int64, tag = "5")]
    pub(super) total: i64,
}

/// What a step wrote.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct VertexLog {
    #[prost(string, tag = "1")]
    pub(super) vertex: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) msg: Vec<u8>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Time {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
}

/// `moby.buildkit.v1.SolveRequest`, with the one exporter that every version takes.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Solve {
    /// The build's name, under which its progress is asked for.
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) exporter: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(super) exporter_attrs: BTreeMap<String, String>,
    #[prost(string, tag = "5")]
    pub(super) session: String,
    #[prost(string, tag = "6")]
    pub(super) frontend: String,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(super) frontend_attrs: BTreeMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(super) cache: Option<CacheOptions>,
    #[prost(string, repeated, tag = "9")]
    pub(super) entitlements: Vec<String>,
    #[prost(btree_map = "string, message", tag = "10")]
    pub(super) frontend_inputs: BTreeMap<String, Definition>,
}

impl std::fmt::Debug for Solve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Solve({})", self.name)
    }
}

/// `pb.Definition`: operations, of which the last one is what they come to.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Definition {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) operations: Vec<Vec<u8>>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(super) metadata: BTreeMap<String, OpMetadata>,
}

/// `pb.OpMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OpMetadata {
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) description: BTreeMap<String, String>,
}

/// `pb.Op`, of the one kind that is used.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Op {
    #[prost(message, repeated, tag = "1")]
    pub(super) inputs: Vec<Link>,
    #[prost(message, optional, tag = "3")]
    pub(super) source: Option<Source>,
}

/// `pb.Input`: the first result of another operation.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Link {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
}

/// `pb.SourceOp`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Source {
    #[prost(string, tag = "1")]
    pub(super) identifier: String,
}

/// `moby.buildkit.v1.StatusRequest`, and without a name the `ListWorkersRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Ref {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `moby.buildkit.v1.CacheOptions`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CacheOptions {
    #[prost(message, repeated, tag = "4")]
    pub(super) exports: Vec<CacheEntry>,
}

/// `moby.buildkit.v1.CacheOptionsEntry`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::engine) struct CacheEntry {
    #[prost(string, tag = "1")]
    pub(in crate::engine) kind: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(in crate::engine) attrs: BTreeMap<String, String>,
}

/// `moby.buildkit.v1.SolveResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Solved {
    #[prost(btree_map = "string, string", tag = "1")]
    pub(super) exporter_response: BTreeMap<String, String>,
}

/// `moby.buildkit.v1.ListWorkersResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Workers {
    #[prost(message, repeated, tag = "1")]
    pub(super) records: Vec<Worker>,
}

/// `moby.buildkit.v1.types.WorkerRecord`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Worker {
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) labels: BTreeMap<String, String>,
}

/// `fsutil.types.Packet`: one step of sending a folder.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Packet {
    #[prost(enumeration = "PacketKind", tag = "1")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) stat: Option<Stat>,
    #[prost(uint32, tag = "3")]
    pub(super) id: u32,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) data: Vec<u8>,
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packet({}, {}, {} bytes)", self.kind, self.id, self.data.len())
    }
}

/// What a [`Packet`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum PacketKind {
    /// A file's name and attributes; with none, there are no more.
    Stat = 0,
    /// Asks for a file's content, by its number in the order of names.
    Request = 1,
    /// A part of a file's content; an empty one is its end.
    Data = 2,
    /// All is there.
    Finish = 3,
    /// It cannot go on.
    Failure = 4,
}

/// `fsutil.types.Stat`. Names are bytes here, as they are in file systems; on the wire both look the same.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stat {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) path: Vec<u8>,
    /// In the bits of Go's `os.FileMode`.
    #[prost(uint32, tag = "2")]
    pub(super) mode: u32,
    #[prost(int64, tag = "5")]
    pub(super) size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub(super) modified: i64,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) link: Vec<u8>,
}
