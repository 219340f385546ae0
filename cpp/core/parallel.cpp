// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "core/interrupt.hpp"

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif

namespace trouvaille {
namespace {

// One call of parallel_for. Lives on the caller's stack: the caller leaves only when no worker
// holds it (`running` is 0) and none can find it (it is no longer queued).
struct Job {
    RangeBody body;
    std::size_t n, grain, chunks;
    std::size_t wanted = 0;      // workers that may still join; guarded by the pool's mutex
    std::size_t running = 0;     // workers inside; guarded by the pool's mutex
    std::exception_ptr error{};  // the first; guarded by the pool's mutex
    std::atomic<std::size_t> next{0};
    std::atomic<bool> stop{false};

    bool run_one_chunk() {
        if (stop.load(std::memory_order_relaxed)) return false;
        const std::size_t chunk = next.fetch_add(1, std::memory_order_relaxed);
        if (chunk >= chunks) return false;
        const std::size_t begin = chunk * grain;
        body(begin, begin + std::min(grain, n - begin));
        return true;
    }

    /// Chunks, until there are no more. Throws what a body throws, and Interrupted.
    void run_chunks() {
        while (run_one_chunk()) check_interrupt();
    }
};

thread_local bool inside_body = false;

#if defined(_WIN32)
struct BlockedSignals {};
#else
// Threads started while this lives receive no signal that a process is sent from outside: it is
// for the threads that Python knows to run the handlers. Faults stay open (for faulthandler).
class BlockedSignals {
  public:
    BlockedSignals() {
        sigset_t blocked;
        sigfillset(&blocked);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
            sigdelset(&blocked, fault);
        pthread_sigmask(SIG_SETMASK, &blocked, &before_);
    }
    ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    BlockedSignals(const BlockedSignals&) = delete;
    BlockedSignals& operator=(const BlockedSignals&) = delete;

  private:
    sigset_t before_;
};
#endif

class Pool {
  public:
    void run(Job& job, std::size_t helpers) {
        {
            const std::lock_guard lock(mutex);
            start_workers(helpers);
            job.wanted = std::min(helpers, threads_);
            if (job.wanted > 0) queue_.push_back(&job);
        }
        work_.notify_all();
        work_on(job);
        std::unique_lock lock(mutex);
        std::erase(queue_, &job);
        while (job.running > 0) {
            done_.wait_for(lock, std::chrono::milliseconds(20));
            if (job.running == 0 || job.stop) continue;
            lock.unlock();
            poll(job);
            lock.lock();
        }
    }

    /// What this thread can do for `job`.
    void work_on(Job& job) {
        inside_body = true;
        try {
            job.run_chunks();
        } catch (...) {
            fail(job);
        }
        inside_body = false;
    }

    std::mutex mutex;  // public for the fork handlers

  private:
    void poll(Job& job) {
        try {
            check_interrupt();
        } catch (...) {
            fail(job);
        }
    }

    void fail(Job& job) {
        const std::lock_guard lock(mutex);
        if (!job.error) job.error = std::current_exception();
        job.stop = true;
    }

    /// Up to `wanted` workers: where the system refuses another thread, fewer do the same work.
    void start_workers(std::size_t wanted) {
        if (threads_ >= wanted) return;
        [[maybe_unused]] const BlockedSignals blocked;
        try {
            for (; threads_ < wanted; ++threads_) std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
        }
    }

    void serve() {
        leave_interrupts_to_caller(nullptr);
        std::unique_lock lock(mutex);
        for (;;) {
            work_.wait(lock, [this] { return !queue_.empty(); });
            Job& job = *queue_.front();
            if (--job.wanted == 0) queue_.pop_front();
            ++job.running;
            lock.unlock();
            leave_interrupts_to_caller(&job.stop);
            work_on(job);
            leave_interrupts_to_caller(nullptr);  // the job may end before this thread's next
            lock.lock();
            if (--job.running == 0) done_.notify_all();
        }
    }

    std::condition_variable work_, done_;
    std::deque<Job*> queue_;
    std::size_t threads_ = 0;
};

// Never destroyed: its threads wait on it until the process ends. Replaced in a child after
// fork(), which inherits the memory but not the threads.
std::atomic<Pool*> current_pool{nullptr};

Pool& pool() {
    static const bool created = [] {
        current_pool = new Pool;
#if !defined(_WIN32)
        // The lock is held across fork() so that no thread is in the middle of a change.
        pthread_atfork([] { current_pool.load()->mutex.lock(); },
                       [] { current_pool.load()->mutex.unlock(); },
                       [] {
                           current_pool = new Pool;
                           inside_body = false;
                       });
#endif
        return true;
    }();
    static_cast<void>(created);
    return *current_pool;
}

}  // namespace

void parallel_for(std::size_t n, std::size_t grain, int threads, RangeBody body) {
    if (n == 0) return;
    grain = std::max<std::size_t>(grain, 1);
    Job job{.body = body, .n = n, .grain = grain, .chunks = (n - 1) / grain + 1};
    if (inside_body) return job.run_chunks();  // nested: the pool is busy with the outer loop
    const std::size_t workers =
        std::min(static_cast<std::size_t>(std::max(threads, 1)), job.chunks);
    if (workers == 1)
        pool().work_on(job);
    else
        pool().run(job, workers - 1);
    if (job.error) std::rethrow_exception(job.error);
}

}  // namespace trouvaille
