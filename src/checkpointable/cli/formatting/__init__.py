"""Checkpoints, values, trees and differences as text and as JSON."""
