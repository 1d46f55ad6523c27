//! Takes the data out of an engine image: the module is instantiated on memory that already holds it,
//! so that instantiation writes nothing.

use wasm_encoder::{Module, RawSection};
use wasmparser::{DataKind, Operator, Parser, Payload};

/// A module without data segments, and the memory that they describe.
pub(crate) struct Stripped {
    pub(crate) wasm: Vec<u8>,
    /// The initial memory: as long as the module's minimum, data laid out.
    pub(crate) memory: Vec<u8>,
}

const WASM_PAGE: u64 = 65_536;
/// No engine image needs more; protects against a nonsensical module.
const MEMORY_MAX: u64 = 64 << 20;

/// Fails with a reason for people when the module is not one that this works for.
pub(crate) fn strip_data(wasm: &[u8]) -> Result<Stripped, String> {
    let mut module = Module::new();
    let mut memory = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|e| e.to_string())?;
        match &payload {
            Payload::MemorySection(section) => memory = empty_memory(section.clone())?,
            Payload::DataSection(section) => lay_out(section.clone(), &mut memory)?,
            Payload::DataCountSection { .. } => continue,
            _ => {}
        }
        if let (Some((id, range)), false) =
            (payload.as_section(), matches!(payload, Payload::DataSection(_)))
        {
            module.section(&RawSection { id, data: &wasm[range] });
        }
    }
    Ok(Stripped { wasm: module.finish(), memory })
}

fn empty_memory(section: wasmparser::MemorySectionReader<'_>) -> Result<Vec<u8>, String> {
    let memories = section.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    let [memory] = memories.as_slice() else { return Err("it must define one memory".to_owned()) };
    let bytes = memory.initial.saturating_mul(WASM_PAGE);
    if bytes > MEMORY_MAX {
        return Err(format!("its memory of {bytes} bytes is too large"));
    }
    usize::try_from(bytes).map(|n| vec![0; n]).map_err(|e| e.to_string())
}

fn lay_out(section: wasmparser::DataSectionReader<'_>, memory: &mut [u8]) -> Result<(), String> {
    for data in section {
        let data = data.map_err(|e| e.to_string())?;
        let DataKind::Active { memory_index: 0, offset_expr } = &data.kind else {
            return Err("it has a passive data segment".to_owned());
        };
        let Ok(Operator::I32Const { value }) = offset_expr.get_operators_reader().read() else {
            return Err("a data segment has a computed offset".to_owned());
        };
        let start = usize::try_from(value.cast_unsigned()).map_err(|e| e.to_string())?;
        let target = start.checked_add(data.data.len()).and_then(|end| memory.get_mut(start..end));
        target.ok_or("a data segment lies outside of memory")?.copy_from_slice(data.data);
    }
    Ok(())
}
