//! The process that holds a pod's namespaces open: it does nothing until it is killed.

fn main() {
    loop {
        std::thread::park();
    }
}
