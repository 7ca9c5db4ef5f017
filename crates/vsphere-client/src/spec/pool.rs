//! A resource pool's share of CPU and memory.

use crate::Element;
use crate::xml::Body;

/// What a resource pool gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PoolSpec {
    /// Of CPU time, in MHz.
    pub cpu: Allocation,
    /// Of memory, in MB.
    pub memory: Allocation,
}

/// A share of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// What is kept free for the pool, in MHz or MB.
    pub reservation: i64,
    /// Whether the reservation may grow at the parent's cost.
    pub expandable: bool,
    /// The most that it gets, in MHz or MB; none for no limit.
    pub limit: Option<i64>,
    /// Its weight against its siblings when the resource is short.
    pub shares: Shares,
}

/// A pool's weight against its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Shares {
    /// Half of normal.
    Low,
    /// vCenter's default.
    #[default]
    Normal,
    /// Twice normal.
    High,
    /// This many.
    Custom(i32),
}

impl Default for Allocation {
    /// vCenter's own: nothing reserved, expandable, no limit, normal shares.
    fn default() -> Self {
        Allocation { reservation: 0, expandable: true, limit: None, shares: Shares::Normal }
    }
}

impl Allocation {
    /// Reads a `ResourceAllocationInfo`, such as the property `config.cpuAllocation`.
    pub fn read(value: &Element) -> Option<Allocation> {
        let shares = match value.text_at("shares.level")? {
            "low" => Shares::Low,
            "normal" => Shares::Normal,
            "high" => Shares::High,
            _ => Shares::Custom(i32::try_from(value.int_at("shares.shares")?).ok()?),
        };
        Some(Allocation {
            reservation: value.int_at("reservation").unwrap_or(0),
            expandable: value.bool_at("expandableReservation").unwrap_or(false),
            limit: value.int_at("limit").filter(|limit| *limit >= 0),
            shares,
        })
    }
}

impl PoolSpec {
    /// Writes a `ResourceConfigSpec`.
    pub(crate) fn write(&self, b: &mut Body, name: &str) {
        b.element(name, |b| {
            // The numbers behind the levels of a pool; vCenter ignores them unless custom.
            write_allocation(b, "cpuAllocation", &self.cpu, 4000);
            write_allocation(b, "memoryAllocation", &self.memory, 163_840);
        });
    }
}

fn write_allocation(b: &mut Body, name: &str, allocation: &Allocation, normal: i32) {
    let (level, shares) = match allocation.shares {
        Shares::Low => ("low", normal / 2),
        Shares::Normal => ("normal", normal),
        Shares::High => ("high", normal * 2),
        Shares::Custom(shares) => ("custom", shares),
    };
    b.element(name, |b| {
        b.value("reservation", allocation.reservation)
            .value("expandableReservation", allocation.expandable)
            .value("limit", allocation.limit.unwrap_or(-1))
            .element("shares", |b| {
                b.value("shares", shares).value("level", level);
            });
    });
}
