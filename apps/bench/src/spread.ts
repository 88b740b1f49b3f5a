/** The median of samples, and between what the middle half of them lies. */
export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
}

export function spreadOf(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b)
  const quantile = (fraction: number): number => sorted[Math.round(fraction * (sorted.length - 1))] as number
  return { median: quantile(0.5), low: quantile(0.25), high: quantile(0.75) }
}
