//! The system wrappers that the backends' own tests do not reach.

use chttpcore::net::sys;
use chttpcore::proto::eyeballs::Family;
use std::io::{Seek, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

/// Fork, ask in the child, give back its answer as an exit status.
fn in_child(ask: impl Fn() -> u8) -> i32 {
    // SAFETY: the child calls nothing but `ask`, which takes no lock and allocates nothing, and `_exit`.
    unsafe {
        match libc::fork() {
            0 => libc::_exit(ask().into()),
            child => {
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                assert!(libc::WIFEXITED(status));
                libc::WEXITSTATUS(status)
            }
        }
    }
}

#[test]
fn a_forked_child_knows_that_it_is_one() {
    let epoch = sys::process_epoch();
    assert_ne!(epoch, 0);
    assert_eq!(epoch, sys::process_epoch());
    assert!(sys::is_process_epoch(epoch));
    let answer = in_child(|| {
        let before = sys::is_process_epoch(epoch);
        let own = sys::process_epoch();
        u8::from(before) | u8::from(sys::is_process_epoch(epoch)) << 1 | u8::from(sys::is_process_epoch(own)) << 2
    });
    assert_eq!(answer, 0b100);
    assert!(sys::is_process_epoch(epoch));
}

#[test]
fn library_threads_have_a_name_and_take_no_signals() {
    let blocked = |signal| {
        // SAFETY: the set is initialized by the call that reads the mask.
        unsafe {
            let mut set = std::mem::zeroed();
            assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set), 0);
            libc::sigismember(&raw const set, signal) == 1
        }
    };
    let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR1, libc::SIGPIPE, libc::SIGPROF];
    let thread = sys::spawn("chttp-test-7".into(), move || {
        (std::thread::current().name().map(str::to_owned), signals.map(blocked), blocked(libc::SIGSEGV))
    });
    let (name, taken, fault) = thread.unwrap().join().unwrap();
    assert_eq!(name.as_deref(), Some("chttp-test-7"));
    assert_eq!(taken, [true; 6]);
    assert!(!fault);
    assert_eq!(signals.map(blocked), [false; 6], "the caller's own mask is as it was");
}

#[test]
fn files_and_duplicates() {
    let path = std::env::temp_dir().join(format!("chttp-sys-{}", std::process::id()));
    let mut file = std::fs::File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(b"0123456789").unwrap();
    let copy = sys::dup(&file).unwrap();
    let mut buf = [0; 4];
    assert_eq!(sys::pread(copy.as_raw_fd(), &mut buf, 3).unwrap(), 4);
    assert_eq!(&buf, b"3456");
    assert_eq!(file.stream_position().unwrap(), 10);
    assert_eq!(sys::pread(copy.as_raw_fd(), &mut buf, 10).unwrap(), 0);
    assert_eq!(sys::write(copy.as_raw_fd(), b"ab").unwrap(), 2);
    assert!(sys::pread(copy.as_raw_fd(), &mut buf, u64::MAX).is_err());
}

#[test]
fn names() {
    assert_eq!(sys::getaddrinfo(c"127.0.0.1", Family::V4, 9), Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
    assert_eq!(sys::getaddrinfo(c"::1", Family::V6, 9), Ok(vec!["::1".parse().unwrap()]));
    assert_eq!(sys::getaddrinfo(c"no..name", Family::V4, 9), Err(sys::GaiError::Code(libc::EAI_NONAME)));
    assert!(!sys::gai_text(libc::EAI_NONAME).is_empty());
}
