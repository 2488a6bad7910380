"""The boards, in the order in which an engineer reads them."""

from grafana.board import Board
from grafana.boards import conversation, exporter, overview, providers, turns, usage

BOARDS: tuple[Board, ...] = (overview.BOARD, turns.BOARD, providers.BOARD, conversation.BOARD, usage.BOARD, exporter.BOARD)
