//! A channel does not cross a fork: the child is refused with words, the parent does not notice.
#![cfg(unix)]

mod common;

use common::Watchdog;
use grpclb::core::grpc::Code;
use grpclb::{Call, Channel, Server};

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(code: i32) -> !;
}

#[test]
fn the_child_is_refused_and_the_parent_goes_on() {
    let _watchdog = Watchdog::new(30);
    let server = Server::builder()
        .unary("/test.Service/Echo", |request, response| {
            response.message.extend_from_slice(request.message);
            Ok(())
        })
        .bind("127.0.0.1:0")
        .expect("a port")
        .spawn();
    let target = format!("ipv4:{}", server.local_addr().expect("an address"));
    let channel = Channel::builder(&target).build().unwrap();
    let call = Call::new("/test.Service/Echo");
    let mut response = Vec::new();
    channel.unary(&call, b"before", &mut response).expect("an echo");

    // SAFETY: the child makes one call that is refused, a channel of its own with one call, and exits.
    let child = unsafe { fork() };
    assert!(child >= 0, "no fork");
    if child == 0 {
        let refused = matches!(
            channel.unary(&call, b"child", &mut response),
            Err(status) if status.code == Code::INTERNAL && status.message.contains("fork")
        );
        let stream_refused = channel.stream(&call).is_err();
        drop(channel);
        let own = Channel::builder(&target).build().unwrap();
        let served = own.unary(&call, b"own", &mut response).is_ok() && response == b"own";
        let code = i32::from(!refused) | i32::from(!stream_refused) << 1 | i32::from(!served) << 2;
        // SAFETY: ends the child at once, without the parent's destructors.
        unsafe { _exit(code) };
    }
    let mut status = -1;
    // SAFETY: `status` outlives the call.
    assert_eq!(unsafe { waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child's exit status, in wait's form");
    for n in 0..10u8 {
        channel.unary(&call, &[n], &mut response).expect("the parent's channel is as it was");
        assert_eq!(response, [n]);
    }
    server.stop();
    server.join();
}
