//! The rows of the public API's table for clusters.

use super::Cluster;
use crate::{
    compose::Project,
    machine::MachineSpec,
    surface::{Class, ErasedClass},
};

pub(crate) fn classes() -> Vec<Box<dyn ErasedClass>> {
    vec![
        Class::<Cluster>::new()
            .s1("local", ["name"], |name: String| Cluster::local(name))
            .s2("create", ["name", "machines"], |name: String, machines: Vec<MachineSpec>| Cluster::create(name, machines))
            .s1("open", ["name"], |name: String| Cluster::open(name))
            .s1("discard", ["name"], |name: String| Cluster::discard(name))
            .s0("list", [], Cluster::list)
            .m1("stack", ["project"], |c: &Cluster, project: Project| c.stack(&project))
            .m1("add", ["machine"], |c: &Cluster, machine: MachineSpec| c.add(machine))
            .m1("remove", ["machine"], |c: &Cluster, machine: String| c.remove(machine))
            .m1("push_image", ["reference"], |c: &Cluster, reference: String| c.push_image(reference))
            .m0("health", [], Cluster::health)
            .m0("snapshot", [], Cluster::snapshot)
            .m0("metrics", [], Cluster::metrics)
            .m0("watch", [], Cluster::watch)
            .m0("destroy", [], Cluster::destroy)
            .boxed(),
    ]
}
