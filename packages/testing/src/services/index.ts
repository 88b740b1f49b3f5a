import type { ServiceDefinition } from '../service.ts'
import { redis } from './redis.ts'

export const definitions = { redis } as Record<string, ServiceDefinition>
