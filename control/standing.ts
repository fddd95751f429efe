/**
 * What a machine's price is to one user: dearer for who uses more than their share, cheaper for whom answers are still
 * owed. At a price of zero nobody pays anything, so shares bind only where work queues.
 */
import type { UserStanding } from "../protocol/fleet.ts";

/** Before the coordinator has spoken: everybody alike. */
export const NEW_STANDING: UserStanding = {
  weight: 1,
  share: 1,
  nodeUse: 1,
  edgeUse: 1,
  debt: 0,
  quotaPerSecond: null,
};

/** A price is at most this many times the machine's own. */
const MOST = 8;
/** θ: what one answer owed takes off the price. */
const PER_DEBT = 0.05;

/**
 * Above this multiple of a share debts do not count. Who asks for twenty times what fits is owed most of all, and would
 * take back by it what use over share has put on the price.
 */
const OWED_UP_TO_USE = 1.25;

/** λ_i = λ · min(8, use / share) / (1 + θ · debt); steeper powers of use over share only make prices swing. */
export function userPrice(price: number, useOverShare: number, debt: number): number {
  const owed = useOverShare <= OWED_UP_TO_USE ? debt : 0;
  return (price * Math.min(MOST, Math.max(0, useOverShare))) / (1 + PER_DEBT * owed);
}
