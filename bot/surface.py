"""All that people can type, press and fill in: what the client answers with."""

from __future__ import annotations

from bot.client import LimnerClient, Services
from bot.commands.admin import admin_group
from bot.commands.edit import edit_command, outpaint_command
from bot.commands.help import help_command
from bot.commands.imagine import imagine_command
from bot.commands.inspect import inspect_command, recipe_menu
from bot.commands.loras import loras_command
from bot.commands.menus import remove_menu, upscale_menu, vary_menu
from bot.commands.mine import info_command, queue_command
from bot.commands.models import models_command
from bot.commands.moderate import moderate_group
from bot.commands.privacy import privacy_group
from bot.commands.quota import quota_group
from bot.commands.settings import settings_command
from bot.commands.show import show_command
from bot.commands.styles import styles_command
from bot.commands.texts import CatalogueTranslator, Texts
from bot.commands.uploads import upscale_command, vary_command
from bot.views.again import AgainButton
from bot.views.cancel import CancelButton
from bot.views.confirm import ConfirmButton
from bot.views.delete import DeleteButton, DeleteNowButton, KeepButton, RemoveNowButton
from bot.views.delete_data import DeleteDataButton
from bot.views.favourite import FavouriteButton
from bot.views.grid import PickButton
from bot.views.log_page import LogButton
from bot.views.pages import ExampleMenu, PageButton, PageMenu
from bot.views.picture import DeriveButton
from bot.views.queue_page import PauseButton, QueuePageButton
from bot.views.recipe import RecipeButton
from bot.views.redraw import RedrawButton
from bot.views.reframe import CustomZoomButton, CustomZoomDialog, ReframeButton
from bot.views.region import CellsMenu, RegionButton, RegionDialog, RegionFormButton
from bot.views.remix_dialog import RemixDialog
from bot.views.settings import SettingButton, SettingMenu

COMMANDS = (
    imagine_command,
    vary_command,
    upscale_command,
    edit_command,
    outpaint_command,
    inspect_command,
    settings_command,
    queue_command,
    info_command,
    show_command,
    help_command,
    styles_command,
    loras_command,
    models_command,
    privacy_group,
    quota_group,
    moderate_group,
    admin_group,
)
MENUS = (recipe_menu, vary_menu, upscale_menu, remove_menu)
BUTTONS = (
    *(CancelButton, ConfirmButton),
    *(PickButton, AgainButton, DeriveButton, RedrawButton),
    *(ReframeButton, CustomZoomButton, RegionButton, CellsMenu, RegionFormButton),
    *(FavouriteButton, RecipeButton, DeleteButton, DeleteNowButton, RemoveNowButton, KeepButton),
    *(SettingMenu, SettingButton),
    *(QueuePageButton, PauseButton),
    LogButton,
    *(PageButton, PageMenu, ExampleMenu),
    DeleteDataButton,
)
DIALOGS = (CustomZoomDialog, RegionDialog, RemixDialog)


async def furnish(client: LimnerClient, services: Services) -> None:
    """Give the client its services, commands, menus, buttons and forms."""
    client.services = services
    texts = Texts(services.messages)
    await client.tree.set_translator(CatalogueTranslator(services.messages))
    for build in COMMANDS:
        client.tree.add_command(build(services, texts))
    for build_menu in MENUS:
        client.tree.add_command(build_menu(services, texts))
    client.listen_to(*BUTTONS)
    client.take_answers_to(*DIALOGS)
