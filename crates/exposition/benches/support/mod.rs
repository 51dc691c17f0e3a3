//! What both benchmarks share: the families of an exporter that watches a warehouse.

use exposition::{Descriptor, Family};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Orders {
    /// Six labels.
    Picked,
    /// Four labels.
    Returned,
    /// A histogram with six labels.
    Packing,
}

impl Family for Orders {
    const ALL: &'static [Self] = &[Self::Picked, Self::Returned, Self::Packing];

    fn scale(self) -> u64 {
        if self == Self::Packing { 1_000 } else { 1 }
    }

    fn place(self) -> usize {
        self as usize
    }

    fn descriptor(self) -> Descriptor {
        match self {
            Self::Picked => Descriptor::counter(
                "warehouse_orders_picked_total",
                &["depot_id", "carrier_type", "priority", "direction", "completion", "packaging"],
                "Orders that were picked.",
            ),
            Self::Returned => Descriptor::counter(
                "warehouse_orders_returned_total",
                &["depot_id", "reason", "completion", "packaging"],
                "Orders that were returned.",
            ),
            Self::Packing => Descriptor::histogram(
                "warehouse_packing_seconds",
                Self::Picked.descriptor().labels,
                "How long packing took.",
            ),
        }
    }
}

/// There are no gauges, so that the same families stand in for theirs.
pub type Exposition = exposition::Exposition<Orders, Orders>;
