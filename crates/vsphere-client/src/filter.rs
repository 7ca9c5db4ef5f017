//! Which objects and which of their properties a read or a watch is about.

use crate::xml::Body;
use crate::{Mor, View};

/// Which objects to read.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// What a view holds.
    View(&'a View),
    /// These objects. One that is gone is left out of the answer, or comes without properties.
    Objects(&'a [Mor]),
    /// What is found from an object on by these steps, without the object itself.
    Traverse {
        /// Where to start.
        from: &'a Mor,
        /// Each step starts where the one before it ended.
        steps: &'a [Step<'a>],
    },
}

/// One step of a [`Scope::Traverse`]: from objects of a kind along a property that refers to
/// others.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The kind to step from, or one of its ancestors.
    pub kind: &'a str,
    /// The property that refers to the next objects, such as `childEntity`.
    pub path: &'a str,
    /// Whether the step is taken again from what it found, as down a tree of folders.
    pub recursive: bool,
}

/// Which properties to read of objects of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// The managed object's type, or one of its ancestors such as `ManagedEntity`.
    pub kind: &'a str,
    /// Property paths, such as `config.hardware.device` or `config.extraConfig["key"].value`.
    pub paths: &'a [&'a str],
}

/// Writes the `propSet` and `objectSet` of a filter.
pub(crate) fn write_filter(b: &mut Body, scope: Scope<'_>, select: &[Select<'_>]) {
    for Select { kind, paths } in select {
        b.element("propSet", |b| {
            b.value("type", kind);
            for path in *paths {
                b.value("pathSet", path);
            }
        });
    }
    match scope {
        Scope::View(view) => {
            write_start(b, &view.mor, &[Step { kind: "View", path: "view", recursive: false }]);
        }
        Scope::Traverse { from, steps } => write_start(b, from, steps),
        Scope::Objects(objects) => {
            for object in objects {
                b.element("objectSet", |b| {
                    b.mor("obj", object).value("skip", false);
                });
            }
        }
    }
}

fn write_start(b: &mut Body, from: &Mor, steps: &[Step<'_>]) {
    b.element("objectSet", |b| {
        b.mor("obj", from).value("skip", true);
        write_steps(b, steps);
    });
}

fn write_steps(b: &mut Body, steps: &[Step<'_>]) {
    let Some((step, rest)) = steps.split_first() else { return };
    b.typed("selectSet", "TraversalSpec", |b| {
        // The number of steps left is unique within the request.
        let name = format!("step{}", rest.len());
        b.value("name", &name).value("type", step.kind).value("path", step.path).value("skip", false);
        if step.recursive {
            b.element("selectSet", |b| {
                b.value("name", &name);
            });
        }
        write_steps(b, rest);
    });
}
