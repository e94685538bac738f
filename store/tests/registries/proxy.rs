//! A proxy between a program and a registry: it passes bytes on, badly.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The same seed, the same numbers.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What is done to a connection's bytes from the registry.
#[derive(Clone, Default)]
pub struct Ills {
    /// It ends after so many bytes.
    pub cut: Option<u64>,
    /// The byte at this place is changed.
    pub corrupt: Option<u64>,
    /// Wait before each 16 KiB.
    pub delay: Duration,
    /// It stands still at this gate.
    pub gate: Option<Arc<Gate>>,
    /// It is answered so by the proxy itself, and ends.
    pub answer: Option<&'static str>,
}

/// Where a connection stands still.
pub struct Gate {
    at: u64,
    open: AtomicBool,
}

impl Gate {
    /// One that lets so many bytes of a connection through until it is opened.
    pub fn at(at: u64) -> Arc<Self> {
        Arc::new(Self { at, open: AtomicBool::new(false) })
    }

    pub fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    /// Lets a connection's bytes up to this one through, or waits with them.
    fn pass(&self, to: u64) {
        while to > self.at && !self.open.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A proxy that ends with the test.
pub struct Proxy {
    pub port: u16,
    /// Bytes that the registry sent.
    pub passed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Proxy {
    /// To this port, with the ills of each connection as `ills` tells, by its number.
    pub fn new(to: u16, ills: impl FnMut(u64) -> Ills + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (passed, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, ended, ills) = (passed.clone(), over.clone(), Mutex::new(ills));
        std::thread::spawn(move || {
            for (number, from) in listener.incoming().flatten().enumerate() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let (ills, counter) = ((ills.lock().unwrap())(number as u64), counter.clone());
                std::thread::spawn(move || carry(&from, to, &ills, &counter));
            }
        });
        Self { port, passed, over }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn carry(from: &TcpStream, to: u16, ills: &Ills, counter: &AtomicU64) {
    if let Some(answer) = ills.answer {
        // The request is read, so that the end is no reset.
        let _ = (&*from).read(&mut [0; 8192]);
        let _ = (&*from).write_all(answer.as_bytes());
        let _ = from.shutdown(Shutdown::Write);
        return;
    }
    let Ok(registry) = TcpStream::connect(("127.0.0.1", to)) else {
        return;
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::copy(&mut &*from, &mut &registry);
            let _ = registry.shutdown(Shutdown::Write);
        });
        back(&registry, from, ills, counter);
        let _ = from.shutdown(Shutdown::Both);
        let _ = registry.shutdown(Shutdown::Both);
    });
}

fn back(mut registry: &TcpStream, mut to: &TcpStream, ills: &Ills, counter: &AtomicU64) {
    let (mut buffer, mut done) = (vec![0; 16 << 10], 0);
    while let Ok(count @ 1..) = registry.read(&mut buffer) {
        if !ills.delay.is_zero() {
            std::thread::sleep(ills.delay);
        }
        let next = done + count as u64;
        if let Some(gate) = &ills.gate {
            gate.pass(next);
        }
        if let Some(place) = ills.corrupt.filter(|place| (done..next).contains(place)) {
            buffer[(place - done) as usize] ^= 0x55;
        }
        let length = ills.cut.map_or(count, |cut| count.min((cut.saturating_sub(done)) as usize));
        counter.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..length]).is_err() || length < count {
            return;
        }
        done = next;
    }
}
