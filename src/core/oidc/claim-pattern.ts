import { claimText } from './claim.ts';

/** What a claim must be: one text, one of some, or a glob that spans the whole value. */
export type ClaimPattern =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'list'; readonly values: readonly string[] }
  | { readonly kind: 'glob'; readonly glob: string };

/** True if the claim fits. Of a claim that is a list, one of its items has to. Case counts. */
export function matchesClaim(pattern: ClaimPattern, claim: unknown): boolean {
  const values = Array.isArray(claim) ? claim : [claim];
  return values.some((value: unknown) => {
    const text = claimText(value);
    return text !== null && matchesText(pattern, text);
  });
}

/** True if everybody fits: such a pattern tells nobody from anybody. */
export function matchesEverything(pattern: ClaimPattern): boolean {
  return pattern.kind === 'glob' && /^\**$/.test(pattern.glob);
}

function matchesText(pattern: ClaimPattern, text: string): boolean {
  switch (pattern.kind) {
    case 'exact':
      return text === pattern.value;
    case 'list':
      return pattern.values.includes(text);
    case 'glob':
      return matchesGlob(pattern.glob, text);
    default:
      return pattern satisfies never;
  }
}

/**
 * `*` stands for any characters but `/` and `:`, which separate the parts of repositories and subjects; `**` for any at all. Nothing else is special.
 * Steps through the text with the set of places in the glob that could have been reached, so time is at most glob times text.
 */
export function matchesGlob(glob: string, text: string): boolean {
  const parts = glob.match(/\*\*+|\*|[^*]/gsu) ?? [];
  let reached = skipStars(parts, new Set([0]));
  for (const character of text) {
    const next = new Set<number>();
    for (const place of reached) {
      const part = parts[place];
      if (part === undefined) continue;
      if (part === character && part !== '*') next.add(place + 1);
      else if (part.startsWith('**') || (part === '*' && character !== '/' && character !== ':')) next.add(place);
    }
    if (next.size === 0) return false;
    reached = skipStars(parts, next);
  }
  return reached.has(parts.length);
}

/** A star may stand for nothing. A star in the text is met by a star of the glob, never as itself. */
function skipStars(parts: readonly string[], places: Set<number>): Set<number> {
  for (const place of places) if (parts[place]?.startsWith('*') === true) places.add(place + 1);
  return places;
}
