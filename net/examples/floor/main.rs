//! What a machine takes for the plainest loops of receiving, writing, syncing and sending, in CPU seconds per GB, and
//! what the driver takes with a machine that does no more than them. Measured beside a broker in the same minute, it
//! tells the broker's own cost from the machine's mood.
//!
//! `cargo run --release -p klamm-net --example floor [MEGABYTES [BATCH_KILOBYTES [SYNC_KILOBYTES]]]`

mod driver;

use rustix::io::{ReadWriteFlags, preadv2, pwrite};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// What is received or read at once, in bytes.
const WINDOW: usize = 256 << 10;

/// How much, in what pieces.
#[derive(Clone, Copy)]
struct Load {
    bytes: usize,
    batch: usize,
    sync: usize,
}

impl Load {
    fn gigabytes(self) -> f64 {
        // A nanosecond for each byte: a GB is a second.
        Duration::from_nanos(self.bytes as u64).as_secs_f64()
    }
}

/// The CPU time of this thread or process so far, in seconds.
fn cpu(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_secs_f64()
}

/// Runs `work` and says what it took of this thread.
fn measure(name: &str, load: Load, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = cpu(ClockId::ThreadCPUTime);
    work()?;
    report(name, load, cpu(ClockId::ThreadCPUTime) - before);
    Ok(())
}

fn report(name: &str, load: Load, seconds: f64) {
    println!("{name:<40} {:.3} CPU s/GB", seconds / load.gigabytes());
}

/// Both ends of a connection over the loopback interface.
fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((server, client))
}

/// Has the host back as much of the page cache as a measurement will fill. Where the machine is virtual, the first
/// touch of a page costs more than everything measured here; what was freed a moment ago is taken again first.
fn touch(load: Load, directory: &Path) -> Result<()> {
    let path = directory.join("touch");
    let mut file = File::create_new(&path)?;
    let window = vec![1; WINDOW];
    for _ in 0..load.bytes.div_ceil(WINDOW) {
        file.write_all(&window)?;
    }
    std::fs::remove_file(path)
}

/// A thread that sends `load` in batches.
fn sender(mut to: TcpStream, load: Load) -> JoinHandle<Result<()>> {
    spawn(move || {
        let batch = vec![7; load.batch];
        let mut left = load.bytes;
        while left > 0 {
            let step = left.min(batch.len());
            to.write_all(&batch[..step])?;
            left -= step;
        }
        Ok(())
    })
}

/// A thread that receives `load` and looks at nothing.
fn receiver(mut from: TcpStream, load: Load) -> JoinHandle<Result<()>> {
    spawn(move || {
        let mut window = vec![0; WINDOW];
        let mut left = load.bytes;
        while left > 0 {
            left -= from.read(&mut window)?;
        }
        Ok(())
    })
}

fn join(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("a thread panicked")))
}

fn file(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}

/// Receives everything; writes what came to `file`, if any, and syncs it every `load.sync` bytes, if asked to.
fn take_in(name: &str, load: Load, file: Option<&File>, sync: bool) -> Result<()> {
    let (mut server, client) = pair()?;
    let sender = sender(client, load);
    measure(name, load, || {
        let mut window = vec![0; WINDOW];
        let (mut position, mut synced) = (0, 0);
        while position < load.bytes {
            let received = server.read(&mut window)?;
            if let Some(file) = file {
                let mut rest = &window[..received];
                let mut at = position;
                while !rest.is_empty() {
                    let written = pwrite(file, rest, at as u64)?;
                    rest = &rest[written..];
                    at += written;
                }
            }
            position += received;
            if let Some(file) = file.filter(|_| sync && position - synced >= load.sync) {
                file.sync_data()?;
                synced = position;
            }
        }
        Ok(())
    })?;
    join(sender)
}

/// Sends everything from memory, or from `file` through a window.
fn give_out(name: &str, load: Load, file: Option<&File>) -> Result<()> {
    let (mut server, client) = pair()?;
    let receiver = receiver(client, load);
    measure(name, load, || {
        let mut window = vec![7; WINDOW];
        let mut position = 0;
        while position < load.bytes {
            let wanted = WINDOW.min(load.bytes - position);
            if let Some(file) = file {
                let mut slices = [IoSliceMut::new(&mut window[..wanted])];
                preadv2(file, &mut slices, position as u64, ReadWriteFlags::empty())?;
            }
            let mut rest = &window[..wanted];
            while !rest.is_empty() {
                let sent = server.write_vectored(&[IoSlice::new(rest)])?;
                rest = &rest[sent..];
            }
            position += wanted;
        }
        Ok(())
    })?;
    join(receiver)
}

fn main() -> Result<()> {
    let argument = |n: usize, default: usize| {
        let given = std::env::args().nth(n).and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let load = Load {
        bytes: argument(1, 1000) * 1_000_000,
        batch: argument(2, 16) << 10,
        sync: argument(3, 1024) << 10,
    };
    let directory = std::env::current_dir()?.join(format!("klamm-floor-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let measured = run(load, &directory);
    std::fs::remove_dir_all(&directory)?;
    measured
}

fn run(load: Load, directory: &Path) -> Result<()> {
    let path = directory.join("floor");
    take_in("receive", load, None, false)?;
    touch(load, directory)?;
    take_in("receive, write", load, Some(&file(&path)?), false)?;
    std::fs::remove_file(&path)?;
    touch(load, directory)?;
    let written = file(&path)?;
    take_in("receive, write, fdatasync", load, Some(&written), true)?;
    give_out("send from memory", load, None)?;
    give_out("send from a cached file", load, Some(&written))?;
    drop(written);
    std::fs::remove_file(path)?;
    driver::run(load, directory)
}
