/** What a user has at home: a device that computes or none, a link to the service or none, and what is known of the link. */
import { NEW_LINK_ESTIMATE, observeLink, type LinkEstimate } from "../../control/latency.ts";
import { AccessLink } from "./access.ts";
import { DeviceSite } from "./device-site.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Offered, User } from "./workload.ts";

/** Of what begins a request: its size tells nothing of bandwidth. */
const HELLO_BYTES = 256;

export class UserSide {
  readonly device: DeviceSite | null;
  readonly link: AccessLink | null;
  readonly #events: EventQueue;
  #estimate: LinkEstimate = NEW_LINK_ESTIMATE;

  constructor(events: EventQueue, seed: number, user: User, sigma: number, untilMs: number) {
    this.#events = events;
    this.device = user.device ? new DeviceSite(events, seed, user.device, sigma) : null;
    this.link = user.access ? new AccessLink(events, seed, `${user.index}`, user.access, untilMs) : null;
    if (!user.access) this.#estimate = { meanMs: 0, deviationMs: 0, msPerKiB: 0 };
  }

  /**
   * There and back over the link for something sent now, as everybody who plans for this user estimates it. What has not
   * left yet goes first: a client knows how much that is, and by its estimate how long it takes.
   */
  get estimate(): LinkEstimate {
    const pending = this.link?.pending ?? 0;
    if (pending === 0) return this.#estimate;
    const { meanMs, deviationMs, msPerKiB } = this.#estimate;
    return { meanMs: meanMs + (pending / 1024) * msPerKiB, deviationMs, msPerKiB };
  }

  /**
   * Sends `bytes` of a request to the service. `there` is called with the way to reply: that brings the reply home and
   * calls what it is given. What the journey took once it began is learnt from: the beginning's round trip, which the front answers at
   * once, and the whole without the time the service had it.
   */
  ask(request: Offered, bytes: number, there: (reply: (home: () => void) => void) => void): void {
    const { link } = this;
    if (!link) {
      there((home) => home());
      return;
    }
    const beganAt = link.up(request.id, bytes, () => {
      const arrivedAt = this.#events.now;
      there((home) => {
        const servedMs = this.#events.now - arrivedAt;
        link.down(request.id, () => {
          const helloMs = link.way(request.id, "hello") + link.way(request.id, "helloBack");
          this.#estimate = observeLink(this.#estimate, helloMs, HELLO_BYTES);
          this.#estimate = observeLink(this.#estimate, this.#events.now - beganAt - servedMs, bytes);
          home();
        });
      });
    });
  }
}
