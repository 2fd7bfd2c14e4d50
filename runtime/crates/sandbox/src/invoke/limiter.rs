//! Memory, tables and instances of one call. wasmtime's own limiter bounds each memory by itself; this one bounds their sum.

use wasmtime::ResourceLimiter;

use crate::limits::Limits;

/// The first growth that was refused. A guest may live with a refusal; if it crashes afterwards, this is why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Memory,
    Table,
}

#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    table_elements_max: usize,
    memories: usize,
    tables: usize,
    instances: usize,
    memory_bytes: usize,
    memory_bytes_peak: usize,
    table_elements: usize,
    pub(crate) refused: Option<Refused>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes,
            table_elements_max: limits.table_elements,
            memories: limits.memories,
            tables: limits.tables,
            instances: limits.instances,
            memory_bytes: 0,
            memory_bytes_peak: 0,
            table_elements: 0,
            refused: None,
        }
    }

    /// The most that all memories held together.
    pub(crate) fn memory_bytes_peak(&self) -> usize {
        self.memory_bytes_peak
    }

    fn refuse(&mut self, what: Refused) -> bool {
        self.refused.get_or_insert(what);
        false
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        if total > self.memory_bytes_max {
            return Ok(self.refuse(Refused::Memory));
        }
        // Beyond the memory's own maximum the growth fails by itself; what did not grow is not counted.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.memory_bytes = total;
            self.memory_bytes_peak = self.memory_bytes_peak.max(total);
        }
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_sub(current).saturating_add(desired);
        if total > self.table_elements_max {
            return Ok(self.refuse(Refused::Table));
        }
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.table_elements = total;
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }
    fn tables(&self) -> usize {
        self.tables
    }
    fn memories(&self) -> usize {
        self.memories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_memories_counts_and_the_peak_stays() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(limiter.memory_growing(0, 60, None).expect("decides"));
        assert!(limiter.memory_growing(0, 30, None).expect("decides"));
        assert!(!limiter.memory_growing(30, 41, None).expect("decides"), "60 + 41 > 100");
        assert!(limiter.memory_growing(30, 90, Some(35)).expect("decides") || limiter.refused.is_some());
        assert!(limiter.memory_growing(30, 40, None).expect("decides"));
        assert_eq!((limiter.memory_bytes_peak(), limiter.refused), (100, Some(Refused::Memory)));
    }
}
