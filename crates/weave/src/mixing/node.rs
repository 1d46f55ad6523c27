//! Woven texts in Node, for tests that an app or a package brings: what guards need is global there.

use belay_model::Arm;

/// The variable that holds the arms, as [`node_arms`] writes them.
pub const NODE_ARMS: &str = "BELAY_ARMS";

/// A CommonJS module that provides the cells of guards, to be loaded before all others (`node --require`). As it takes the
/// arms from the environment, processes that the tests start have the same ones.
pub const NODE_PRELUDE: &str = "\
globalThis.$belay = new Uint8Array(256);
globalThis.$belay.set([...(process.env.BELAY_ARMS ?? \"\")].map(Number));
globalThis.$belay_arm = () => 0;
globalThis.$belay_enter = globalThis.$belay_leave = globalThis.$belay_settable = () => {};
";

/// The arms of all parts as one text: 1 for after.
pub fn node_arms(arms: &[Arm]) -> String {
    let digit = |arm: &Arm| match arm {
        Arm::Before => '0',
        Arm::After => '1',
    };
    arms.iter().map(digit).collect()
}
