//! The body of each Kinesis operation, through its handler, on an engine in memory: an answer or a failure that names a
//! kind. The engine is made anew every 500 requests. Input: operation (1 byte), JSON.
#![no_main]

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use bytes::Bytes;
use interfluve::aws::body::Paid;
use interfluve::aws::door::{Call, Caller, Operations};
use interfluve::chance::Chance;
use interfluve::clock::Clock;
use interfluve::engine::{self, Driver, Engine};
use interfluve::kinesis::{self, Kinesis, api};
use interfluve::store::memory::MemDisk;
use interfluve_fuzz::counted;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

counted!();

struct World {
    runtime: Runtime,
    engine: Arc<Engine>,
    operations: Operations,
    asked: u32,
}

impl World {
    fn new() -> World {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let engine = runtime.block_on(async {
            let disk = Arc::new(MemDisk::new());
            Engine::open(engine::Options::default(), disk, Clock::System, Chance::seeded(7), Driver::Threads).await
        });
        let (engine, _) = engine.expect("an engine opens on an empty disk");
        let operations = api::operations(&Arc::new(Kinesis::new(engine.clone(), kinesis::Settings::default())));
        let world = World { runtime, engine, operations, asked: 0 };
        world.ask("CreateStream", br#"{"StreamName":"s","ShardCount":2}"#.to_vec());
        world
    }

    fn ask(&self, operation: &'static str, body: Vec<u8>) {
        let (_, handler) = self.operations.iter().find(|(name, _)| name.ends_with(operation)).expect("an operation");
        let caller = Caller { account: "000000000000".into(), region: "us-east-1".into() };
        let call = Call { operation, body: Paid::free(Bytes::from(body)), caller };
        if let Err(failure) = self.runtime.block_on(handler(call)) {
            assert!(!failure.body().is_empty());
        }
    }
}

// Never dropped at the end of the thread, where the runtime's own memory of it is gone already.
thread_local! {
    static WORLD: RefCell<ManuallyDrop<Option<World>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

fuzz_target!(|data: &[u8]| {
    let [which, body @ ..] = data else { return };
    WORLD.with_borrow_mut(|world| {
        if world.as_ref().is_none_or(|world| world.asked >= 500) {
            if let Some(old) = world.take() {
                old.runtime.block_on(old.engine.close());
            }
            **world = Some(World::new());
        }
        let Some(world) = world.as_mut() else { return };
        world.asked += 1;
        let nth = usize::from(*which) % world.operations.len();
        let name = world.operations.keys().nth(nth).expect("an operation");
        let operation = name.trim_start_matches("Kinesis_20131202.");
        world.ask(operation, body.to_vec());
    });
});
