import { SECOND_MS, type Instant } from '../time/instant.ts';
import { judgeCallers, judgeReceivers } from './judge-proxies.ts';
import { isEarlierStage, type PathMove } from './path-state.ts';
import type { LaneResult } from './planned-step.ts';
import type { Reason } from './reason.ts';
import type { RolloutView } from './rollout-view.ts';

/**
 * Ends weakenings whose date has passed. Callers switch first, and enforcement follows when everybody acknowledged that or when
 * the grace is over: the person who weakened the path promised the date, so no gate is asked and nobody's silence delays it.
 */
export function planRestorations(now: Instant, view: RolloutView): LaneResult {
  const over = view.paths.filter(({ state }) => state.weakening !== null && state.weakening.until <= now);
  const endpoints = new Map(view.endpoints.map(({ endpoint }) => [endpoint.endpointId, endpoint]));
  const waits: Reason[] = [];
  const moves = over.flatMap(({ state, facts }): PathMove[] => {
    const { pathId, endpointId, stage, since } = state;
    const reasons: Reason[] = [{ code: 'weakening-over', pathId, endpointId, until: state.weakening!.until }];
    // Never proven: it goes on from where it stands, through the same gates as any other.
    if (state.latchedAt === null) return [{ kind: 'release', pathId, reasons }];
    if (isEarlierStage(stage, 'originate')) return [{ kind: 'restore', pathId, from: stage, to: 'originate', reasons }];
    const unready = [...judgeReceivers(now, endpoints.get(endpointId)!, view.config), ...judgeCallers(now, facts, view.config)];
    if (unready.length > 0 && now < since + RESTORE_GRACE_MS) {
      waits.push(...unready);
      return [];
    }
    return [{ kind: 'restore', pathId, from: stage, to: 'enforce', reasons }];
  });
  if (moves.length === 0) return { kind: 'wait', reasons: waits };
  return { kind: 'step', step: { kind: 'restore', wave: null, moves, reasons: moves.flatMap(({ reasons }) => reasons) } };
}

/** How long a caller's proxy has to acknowledge that it must switch, before enforcement comes all the same. */
const RESTORE_GRACE_MS = 10 * SECOND_MS;
