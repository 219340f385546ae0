// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/interrupt.hpp"

#if !defined(_WIN32)
#include <pthread.h>
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
        body(chunk * grain, std::min(n, (chunk + 1) * grain));
        return true;
    }
};

thread_local bool inside_body = false;

class Pool {
  public:
    void run(Job& job, std::size_t helpers) {
        {
            const std::lock_guard lock(mutex);
            while (threads_ < helpers) start_worker();
            job.wanted = helpers;
            queue_.push_back(&job);
        }
        work_.notify_all();
        work_on(job, /*may_poll=*/true);
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

    /// What this thread can do for `job`: chunks, until there are no more.
    void work_on(Job& job, bool may_poll) {
        inside_body = true;
        try {
            while (job.run_one_chunk())
                if (may_poll) check_interrupt();
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

    void start_worker() {
        std::thread([this] { serve(); }).detach();
        ++threads_;
    }

    void serve() {
        std::unique_lock lock(mutex);
        for (;;) {
            work_.wait(lock, [this] { return !queue_.empty(); });
            Job& job = *queue_.front();
            if (--job.wanted == 0) queue_.pop_front();
            ++job.running;
            lock.unlock();
            work_on(job, /*may_poll=*/false);
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
    if (inside_body) {  // nested: the pool is busy with the outer loop, which also polls
        while (job.run_one_chunk()) {
        }
        return;
    }
    const std::size_t workers =
        std::min(static_cast<std::size_t>(std::max(threads, 1)), job.chunks);
    if (workers == 1)
        pool().work_on(job, /*may_poll=*/true);
    else
        pool().run(job, workers - 1);
    if (job.error) std::rethrow_exception(job.error);
}

}  // namespace trouvaille
